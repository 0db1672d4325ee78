import type { OrderSchemas, Service } from "../api/client";

/** Why events of a service failed. */
export type Cause = OrderSchemas["FailureCause"] & { service: Service };

/** The service counts no further. */
const COUNT_LIMIT = 10_000;

const ORDERS = {
  count: (one: Cause, other: Cause) => other.records - one.records,
  keys: (one: Cause, other: Cause) => other.keys - one.keys,
  newest: (one: Cause, other: Cause) => Date.parse(other.last_at) - Date.parse(one.last_at),
  oldest: (one: Cause, other: Cause) => Date.parse(one.first_at) - Date.parse(other.first_at),
  topic: (one: Cause, other: Cause) => one.example.topic.localeCompare(other.example.topic),
  service: (one: Cause, other: Cause) => one.service.localeCompare(other.service),
};

export type Sort = keyof typeof ORDERS;
export const SORTS = Object.keys(ORDERS) as Sort[];

/** Return the causes in this order. Causes that are equal in it stay in an order of their own at each refresh. */
export function sorted(causes: readonly Cause[], sort: Sort): Cause[] {
  const identity = (each: Cause) => `${each.service} ${each.fingerprint}`;
  return [...causes].sort((one, other) => ORDERS[sort](one, other) || identity(one).localeCompare(identity(other)));
}

/** Return a number of events or keys, marked if there may be more. */
export function atLeast(value: number, shown: string): string {
  return value >= COUNT_LIMIT ? `${shown}+` : shown;
}
