const formats = new Map<string, Intl.DateTimeFormat>();

/** Return a formatter. It takes a thousand times longer to make than to use, so each is made once. */
function format(tag: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const name = tag + JSON.stringify(options);
  let found = formats.get(name);
  if (found === undefined) {
    found = new Intl.DateTimeFormat(tag, { hourCycle: "h23", ...options });
    formats.set(name, found);
  }
  return found;
}

function show(time: string | number | null | undefined, tag: string, options: Intl.DateTimeFormatOptions): string {
  if (time === null || time === undefined) return "—";
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "—" : format(tag, options).format(at);
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
const DAY = { year: "numeric", month: "short", day: "numeric" } as const;

/** Return the time of day with milliseconds in the zone of the browser, or "—" if there is none. */
export function clock(time: string | null | undefined, tag: string): string {
  return show(time, tag, { ...CLOCK, fractionalSecondDigits: 3 });
}

/** Return the time of day in seconds. */
export function shortClock(time: number, tag: string): string {
  return show(time, tag, CLOCK);
}

/** Return day and time in the zone of the browser. */
export function moment(time: string | null | undefined, tag: string): string {
  return show(time, tag, { ...DAY, ...CLOCK });
}

/** Return day and time with milliseconds. */
export function precise(time: string | null | undefined, tag: string): string {
  return show(time, tag, { ...DAY, ...CLOCK, fractionalSecondDigits: 3 });
}

/** Return day, time and the name of the zone. */
export function momentInZone(time: string | null | undefined, tag: string): string {
  return show(time, tag, { ...DAY, ...CLOCK, timeZoneName: "short" });
}

/** Return the name of the zone in which times are shown, such as `GMT+2`. */
export function zone(tag: string): string {
  const parts = format(tag, { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
}
