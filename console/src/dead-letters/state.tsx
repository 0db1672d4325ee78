import type { OrderSchemas } from "../api/client";
import { useMessages } from "../messages/language";

type State = OrderSchemas["DeadLetter"]["state"];

export const STATES = ["poison", "parked", "blocked", "redriven", "discarded"] as const satisfies readonly State[];

const LOOKS: Record<State, string> = {
  poison: "bad",
  parked: "warn",
  blocked: "warn",
  redriven: "good",
  discarded: "quiet",
};

export function StateBadge({ state }: { state: State }) {
  const m = useMessages();
  return <span className={`badge ${LOOKS[state]}`}>{m.deadLetters.states[state]}</span>;
}
