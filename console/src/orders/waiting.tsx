import type { OrderSchemas } from "../api/client";
import { useMessages, useTag } from "../messages/language";
import { count } from "../parts/number";
import { moment } from "../parts/time";

type Waiting = OrderSchemas["WaitingView"];

/** Return in a sentence what an order waits for, and since when. */
export function useWaiting(): (waiting: Waiting | null) => string | undefined {
  const m = useMessages();
  const tag = useTag();
  return (waiting) => {
    if (waiting === null) return undefined;
    const since = moment(waiting.since, tag);
    return waiting.for === "answer"
      ? m.orders.waitsFor.answer(since)
      : m.orders.waitsFor.stock(waiting.lines.length, count(waiting.lines.length, tag), since);
  };
}
