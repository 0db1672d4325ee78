import type { Message } from "./sse";

/** One record of Kafka as the stream sends it. */
export interface LiveEvent {
  cursor: string;
  topic: string;
  type: string | undefined;
  key: string | undefined;
  /** When Kafka stored the record. */
  time: string;
  /** The message as it came. The page parses it again when somebody opens the event. */
  raw: string;
}

/** Return the event of a message, or undefined if the message is not a record. */
export function eventOf(message: Message): LiveEvent | undefined {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(message.data) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null || typeof fields["topic"] !== "string") return undefined;
  return {
    cursor: message.id,
    topic: fields["topic"],
    type: text(fields["type"]),
    key: text(fields["key"]),
    time: text(fields["time"]) ?? "",
    raw: message.data,
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
