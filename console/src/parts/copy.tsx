import { useState } from "react";
import { useMessages } from "../messages/language";

/** A button that copies a text, and says whether that worked: a browser may refuse it. */
export function Copy({ text, label }: { text: string; label: string }) {
  const m = useMessages();
  const [done, setDone] = useState<{ text: string; worked: boolean }>();
  const copy = async () => {
    const worked = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    );
    setDone({ text, worked: worked ?? false });
  };
  return (
    <>
      <button type="button" className="button" onClick={() => void copy()}>
        {label}
      </button>
      <output>{done?.text === text && (done.worked ? m.actions.copied : m.actions.notCopied)}</output>
    </>
  );
}
