import { expect, test } from "vitest";
import { rate, remember, type Sample, timeLeft } from "./pace";

test("the rate is that of the last ten seconds", () => {
  let samples: Sample[] = [];
  expect(rate(samples)).toBeUndefined();
  for (const [at, done] of [
    [0, 0],
    [1_000, 900],
    [11_000, 1_000],
    [12_000, 1_010],
  ] as const) {
    samples = remember(samples, { at, done });
  }
  expect(rate(samples)).toBe(10);
});

test("time left is unknown without a rate or a total, and zero at the end", () => {
  expect(timeLeft(500, 1_000, 100)).toBe(5_000);
  expect(timeLeft(1_000, 1_000, 100)).toBe(0);
  expect(timeLeft(500, 1_000, 0)).toBeUndefined();
  expect(timeLeft(500, 1_000, undefined)).toBeUndefined();
  expect(timeLeft(500, null, 100)).toBeUndefined();
});
