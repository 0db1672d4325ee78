/** How long ago a stream begins, in seconds. The log keeps 30 days. */
export const AGES = { now: 0, "1m": 60, "10m": 600, "1h": 3_600, "1d": 86_400, "30d": 30 * 86_400 } as const;
export type Age = keyof typeof AGES;
export const USUAL: Age = "1m";

export function ageFrom(text: string): Age {
  return Object.hasOwn(AGES, text) ? (text as Age) : USUAL;
}

/** Return the time at which a stream begins, or undefined if it begins now. */
export function beginning(age: Age, now: number): string | undefined {
  return age === "now" ? undefined : new Date(now - AGES[age] * 1_000).toISOString();
}
