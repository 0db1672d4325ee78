const clocks = new Map<string, Intl.DateTimeFormat>();

/** Return the time of day with milliseconds in the zone of the browser, or "—" if `time` cannot be read. */
export function clock(time: string, tag: string): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return "—";
  let format = clocks.get(tag);
  if (format === undefined) {
    // A formatter takes longer to make than a thousand times to use.
    format = new Intl.DateTimeFormat(tag, {
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      fractionalSecondDigits: 3,
      hourCycle: "h23",
    });
    clocks.set(tag, format);
  }
  return format.format(at);
}
