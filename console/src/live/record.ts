import { type AnalyticsSchemas, analyticsService, read } from "../api/client";

/** One record of the log, whole. `body` is its data as text: bytes that are no JSON object are hexadecimal digits. */
export type LogRecord = Omit<AnalyticsSchemas["RecordView"], "data" | "raw"> & { body: string };

/** Return the record at a cursor. Throw a Problem. */
export async function readRecord(cursor: string, signal: AbortSignal): Promise<LogRecord> {
  const params = { path: { id: cursor } };
  const text = await read(analyticsService.GET("/v1/events/{id}", { params, signal, parseAs: "text" }));
  const { data: _, raw, ...record } = JSON.parse(text) as AnalyticsSchemas["RecordView"];
  return { ...record, body: raw ?? dataOf(text) };
}

/** The service writes `data` last, behind `raw`. No header can look like this, because the value of a header is a text. */
const BEFORE_DATA = '"raw": null, "data": ';

/** Return the JSON of `data` as it was written, because parsing would change the digits of long numbers. */
export function dataOf(text: string): string {
  const at = text.indexOf(BEFORE_DATA);
  return at < 0 ? text : text.slice(at + BEFORE_DATA.length, text.lastIndexOf("}"));
}
