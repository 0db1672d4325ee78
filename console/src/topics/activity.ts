import type { AnalyticsSchemas } from "../api/client";
import type { Messages } from "../messages/en";
import { count } from "../parts/number";
import { moment } from "../parts/time";

type Activity = AnalyticsSchemas["Activity"];
type Reader = AnalyticsSchemas["Reader"];

/** Return a rate as text. Zero and unknown look different, and a small rate does not look like zero. */
export function rateOf(rate: number | null | undefined, m: Messages, tag: string): string {
  if (rate === null || rate === undefined) return m.states.unknown;
  if (rate > 0 && rate < 0.01) return `< ${count(0.01, tag)}`;
  return count(Math.round(rate * 100) / 100, tag);
}

/** Return the rate of one type: no record is zero only if the rates are known. */
export function rateOfType(activity: Activity, type: string, m: Messages, tag: string): string {
  return rateOf(activity.rates === null ? null : (activity.rates[type] ?? 0), m, tag);
}

/** Return the time of the last record. Only a log that is up to date knows that there is none. */
export function lastOf(activity: Activity, m: Messages, tag: string): string {
  if (activity.last !== null) return moment(activity.last.time, tag);
  return activity.reading === "current" ? m.topics.never : m.states.unknown;
}

/** Return the services that read a topic, each once. Those that did not answer leave the list open. */
export function readersOf(readers: readonly Reader[], silent: readonly unknown[], m: Messages): string {
  const names = [...new Set(readers.map((each) => each.service))];
  if (silent.length > 0) names.push(m.states.unknown);
  return names.length === 0 ? m.states.none : names.join(", ");
}
