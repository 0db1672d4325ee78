import { expect, test } from "vitest";
import { en } from "../messages/en";
import { lastOf, rateOf, rateOfType, readersOf } from "./activity";

const KNOWN = { reading: "current", rate: 0, rates: { a: 0.004 }, last: null } as const;
const UNKNOWN = { reading: "unknown", rate: null, rates: null, last: null } as const;

test("zero, little and unknown look different", () => {
  expect([0, 0.004, 12.345, null].map((rate) => rateOf(rate, en, "en"))).toEqual(["0", "< 0.01", "12.35", "unknown"]);
  expect(["a", "b"].map((type) => rateOfType(KNOWN, type, en, "en"))).toEqual(["< 0.01", "0"]);
  expect(rateOfType(UNKNOWN, "a", en, "en")).toBe("unknown");
});

test("no record is certain only if the log is up to date", () => {
  expect(lastOf(KNOWN, en, "en")).toBe("none in 30 days");
  expect(lastOf(UNKNOWN, en, "en")).toBe("unknown");
});

test("services that did not answer leave the readers open", () => {
  const reader = { service: "a", kind: "log", group: "a", projection: null, handler: null, types: [] };
  expect(readersOf([], [], en)).toBe("none");
  expect(readersOf([reader, reader], [], en)).toBe("a");
  expect(readersOf([reader], [{}], en)).toBe("a, unknown");
});
