import { expect, test } from "vitest";
import { duration } from "./duration";

test("a duration has its two largest units, and unknown is not zero", () => {
  expect(duration(null, "en-GB")).toBe("—");
  expect(duration(0, "en-GB")).toBe("0 ms");
  expect(duration(4.26, "en-GB")).toBe("4.3 ms");
  expect(duration(999, "en-GB")).toBe("999 ms");
  expect(duration(3_440, "en-GB")).toBe("3.4 secs");
  expect(duration(61_000, "en-GB")).toBe("1 min 1 sec");
  expect(duration(2 * 86_400_000 + 3 * 3_600_000 + 5_000, "en-GB")).toBe("2 days 3 hrs");
  expect(duration(86_400_000, "en-GB")).toBe("1 day 0 hrs");
});
