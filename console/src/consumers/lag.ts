import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";

/** Write lags and rates. A figure that is not known is never shown as zero. */
export function useLag() {
  const m = useMessages();
  const tag = useTag();
  const seconds = (value: number | null) =>
    value === null ? m.states.unknown : m.consumers.seconds(count(Math.round(value), tag));
  const records = (value: number | null) => (value === null ? m.states.unknown : count(value, tag));
  const rate = (value: number | null) => (value === null ? m.states.unknown : count(Math.round(value * 10) / 10, tag));
  return { seconds, records, rate };
}
