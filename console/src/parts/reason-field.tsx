import { useMessages } from "../messages/language";

/** Ask a person why they act. The audit keeps the text. */
export function ReasonField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const m = useMessages();
  return (
    <label>
      {m.deadLetters.why}
      <input type="text" maxLength={500} value={value} onChange={(event) => onChange(event.target.value)} />
    </label>
  );
}
