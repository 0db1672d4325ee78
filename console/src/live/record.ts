import { base } from "../api/client";
import { Problem, problemOf } from "../api/problem";

/** One record of the log, whole. */
export interface LogRecord {
  topic: string;
  partition: number;
  offset: number;
  time: string;
  key: string | null;
  type: string | null;
  source: string | null;
  sequence: number | null;
  order_id: string | null;
  partner: string | null;
  repeat: boolean;
  size: number;
  headers: Readonly<Record<string, string>>;
  /** The data as text. Bytes that are no JSON object are shown in hexadecimal digits. */
  body: string;
}

/** Return the record at a cursor. Throw a Problem. */
export async function readRecord(cursor: string, signal: AbortSignal): Promise<LogRecord> {
  const answer = await fetch(`${base("analytics-service")}/v1/events/${encodeURIComponent(cursor)}`, { signal }).catch(
    (error: unknown) => {
      throw signal.aborted ? error : new Problem(0, "", undefined, undefined);
    },
  );
  if (!answer.ok) throw await problemOf(answer);
  const text = await answer.text();
  const record = JSON.parse(text) as Omit<LogRecord, "body"> & { data: unknown; raw: string | null };
  return { ...record, body: record.raw ?? dataOf(text) };
}

/** The service writes `data` last, behind `raw`. No header can look like this, because the value of a header is a text. */
const BEFORE_DATA = '"raw": null, "data": ';

/** Return the JSON of `data` as it was written, because parsing would change the digits of long numbers. */
export function dataOf(text: string): string {
  const at = text.indexOf(BEFORE_DATA);
  return at < 0 ? text : text.slice(at + BEFORE_DATA.length, text.lastIndexOf("}"));
}
