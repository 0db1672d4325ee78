const STEPS = new Map<string, (at: number, last: number) => number>([
  ["ArrowDown", (at) => at + 1],
  ["j", (at) => at + 1],
  ["ArrowUp", (at) => at - 1],
  ["k", (at) => at - 1],
  ["Home", () => 0],
  ["End", (_, last) => last],
]);

/** Return the row to which a key moves the focus, or undefined if the key moves nothing. */
export function destination(key: string, at: number, count: number): number | undefined {
  const step = STEPS.get(key);
  if (step === undefined || Number.isNaN(at) || count === 0) return undefined;
  return Math.max(0, Math.min(count - 1, step(at, count - 1)));
}
