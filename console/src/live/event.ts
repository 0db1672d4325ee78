/** An event in the list. Its data is loaded when somebody opens it, so that 5,000 events take little memory. */
export interface LiveEvent {
  cursor: string;
  topic: string;
  type: string | undefined;
  key: string | undefined;
  partner: string | undefined;
  /** When Kafka stored the record. */
  time: string;
  /** Bytes of the data. */
  size: number | undefined;
  /** Whether a relay has sent the event again. */
  repeat: boolean;
}

/** Return the event that a message's data describes, or undefined if it describes none. */
export function eventOf(cursor: string, data: string): LiveEvent | undefined {
  const fields = fieldsOf(data);
  if (fields === undefined || typeof fields["topic"] !== "string") return undefined;
  return {
    cursor,
    topic: fields["topic"],
    type: text(fields["type"]),
    key: text(fields["key"]),
    partner: text(fields["partner"]),
    time: text(fields["time"]) ?? "",
    size: typeof fields["size"] === "number" ? fields["size"] : undefined,
    repeat: fields["repeat"] === true,
  };
}

/** Return how many records a search in older ones has left, or undefined if the data does not say. */
export function leftOf(data: string): number | undefined {
  const left = fieldsOf(data)?.["left"];
  return typeof left === "number" ? left : undefined;
}

function fieldsOf(data: string): Record<string, unknown> | undefined {
  try {
    const found: unknown = JSON.parse(data);
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
