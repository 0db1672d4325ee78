/** The filters of the stream, by the names that they have in its query. An empty one lets everything pass. */
export const FILTERS = [
  "type",
  "topic",
  "key",
  "order_id",
  "correlation_id",
  "trace_id",
  "partner",
  "item",
  "text",
] as const;
export type Filter = (typeof FILTERS)[number];
export type Values = Readonly<Record<Filter, string>>;

/** These two may have several values, separated by commas. */
const SEVERAL: readonly Filter[] = ["type", "topic"];

/** Return path and query of the stream behind `cursor`, else from the time `since` on, else of what comes from now on. */
export function streamPath(values: Values, cursor: string | undefined, since: string | undefined): string {
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const words = SEVERAL.includes(name) ? values[name].split(",") : [values[name]];
    for (const word of words) if (word.trim() !== "") query.append(name, whole(name, word.trim()));
  }
  if (cursor !== undefined) query.set("after", cursor);
  else if (since !== undefined) query.set("since", since);
  const text = query.toString();
  return text === "" ? "/v1/stream" : `/v1/stream?${text}`;
}

/** Return a command that follows the same stream. `origin` is the address of analytics-service. */
export function asCurl(origin: string, path: string): string {
  return `curl -N -H "Authorization: Bearer $TOKEN" '${origin}${path.replaceAll("'", "%27")}'`;
}

/** Return the name of a type as events have it: `OrderPlaced` is `crossdock.OrderPlaced.v1`. */
function whole(name: Filter, word: string): string {
  return name === "type" && /^[A-Z]\w*$/.test(word) ? `crossdock.${word}.v1` : word;
}
