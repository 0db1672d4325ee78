import type { AnalyticsSchemas } from "../api/client";

export type Match = AnalyticsSchemas["Match"];
export type Matches = AnalyticsSchemas["Matches"];
export type Searched = AnalyticsSchemas["Searched"];

/** Return the results of each kind that was searched and found, in the sequence in which they were searched. */
export function byKind(found: Matches): readonly { kind: Searched; items: readonly Match[] }[] {
  return found.searched
    .map((kind) => ({ kind, items: found.items.filter((each) => each.kind === kind.kind && each.by === kind.by) }))
    .filter((each) => each.items.length > 0);
}

/**
 * Return the page of the only thing that is named by the whole text, or undefined.
 *
 * An event is preferred to the correlation and the trace with the same id, because it is only one record.
 */
export function onlyOne(found: Matches): string | undefined {
  const whole = found.items.filter((each) => each.whole);
  const things = whole.filter((each) => each.kind !== "correlation" && each.kind !== "trace");
  const [first, ...others] = things.length > 0 ? things : whole;
  return others.length === 0 ? first?.link : undefined;
}
