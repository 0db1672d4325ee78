const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;

/** Return a duration in its two largest units, such as `2 days 3 hr` or `12 ms`, or "—" if it is not known. */
export function duration(milliseconds: number | null | undefined, tag: string): string {
  if (milliseconds === null || milliseconds === undefined) return "—";
  if (milliseconds < 1_000) return part(milliseconds, "millisecond", milliseconds < 10 ? 1 : 0, tag);
  if (milliseconds < 60_000) return part(milliseconds / 1_000, "second", milliseconds < 10_000 ? 1 : 0, tag);
  const words: string[] = [];
  let left = milliseconds;
  for (const [unit, size] of UNITS) {
    const whole = Math.floor(left / size);
    if (whole === 0 && words.length === 0) continue;
    words.push(part(whole, unit, 0, tag));
    if (words.length === 2) break;
    left -= whole * size;
  }
  return words.join(" ");
}

function part(value: number, unit: string, digits: number, tag: string): string {
  const options = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(tag, options).format(value);
}
