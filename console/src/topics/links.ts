import type { AnalyticsSchemas } from "../api/client";

type Reader = AnalyticsSchemas["Reader"];

/** Return the address of a topic, and of one of its types. */
export function topicHref(topic: string, type?: string): string {
  return `/topics/${encodeURIComponent(topic)}${type === undefined ? "" : `?type=${encodeURIComponent(type)}`}`;
}

/** Return the address of the live events of a topic, and of one record of it. */
export function liveHref(topic: string, more: Readonly<Record<string, string>> = {}): string {
  return `/live?${new URLSearchParams({ topic, from: "1h", ...more })}`;
}

/** Return the address of the consumer group of a reader. Generations of a projection have groups of their own. */
export function groupHref({ service, kind, group }: Pick<Reader, "service" | "kind" | "group">): string {
  const named = kind === "projection" ? "" : `&group=${encodeURIComponent(group)}`;
  return `/consumers?service=${service}${named}`;
}
