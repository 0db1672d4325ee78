import { expect, test } from "vitest";
import { ageFrom, beginning } from "./beginning";

test("an unknown beginning is the usual one", () => {
  expect(ageFrom("1h")).toBe("1h");
  expect(["", "2h", "toString", "__proto__"].map(ageFrom)).toEqual(["1m", "1m", "1m", "1m"]);
});

test("a stream begins its age before now", () => {
  expect(beginning("10m", Date.UTC(2026, 10, 27, 6, 30))).toBe("2026-11-27T06:20:00.000Z");
  expect(beginning("now", 0)).toBeUndefined();
});
