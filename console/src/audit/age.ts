/** How far back the list goes, in hours. The first is the whole list. */
const HOURS = { "": undefined, "1h": 1, "1d": 24, "7d": 7 * 24, "30d": 30 * 24 } as const;
export type Age = keyof typeof HOURS;
export const AGES = Object.keys(HOURS) as Age[];

/** Return the age in an address. Other text is the whole list. */
export function ageOf(text: string): Age {
  return Object.hasOwn(HOURS, text) ? (text as Age) : "";
}

/** Return the time at which the list ends, or undefined for the whole list. */
export function beginning(age: Age, now: number): number | undefined {
  const hours = HOURS[age];
  return hours === undefined ? undefined : now - hours * 3_600_000;
}
