import { expect, test } from "vitest";
import { atLeast, type Cause, SORTS, sorted } from "./sort";

function cause(fingerprint: string, records: number, keys: number, first: number, last: number): Cause {
  const example = { id: 1, group: "g", topic: `t-${keys}`, partition: 0, offset: 0, type: null, key: null, value: "" };
  const at = (day: number) => new Date(Date.UTC(2026, 0, day)).toISOString();
  const [first_at, last_at] = [at(first), at(last)];
  return {
    service: "order-service",
    reason: "",
    first_id: 1,
    last_id: 2,
    fingerprint,
    records,
    keys,
    first_at,
    last_at,
    example,
  };
}

test("causes are sorted by each column, and equal ones keep their places", () => {
  const causes = [cause("c", 5, 1, 3, 9), cause("a", 5, 3, 2, 5), cause("b", 9, 2, 1, 4)];
  const found = SORTS.map((sort) => [
    sort,
    sorted(causes, sort)
      .map((each) => each.fingerprint)
      .join(""),
  ]);
  expect(Object.fromEntries(found)).toEqual({
    count: "bac",
    keys: "abc",
    newest: "cab",
    oldest: "bac",
    topic: "cba",
    service: "abc",
  });
});

test("a number that the service counts no further is marked", () => {
  expect([atLeast(9_999, "9,999"), atLeast(10_000, "10,000")]).toEqual(["9,999", "10,000+"]);
});
