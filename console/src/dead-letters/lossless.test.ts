import { expect, test } from "vitest";
import { lossless } from "./lossless";

test("text is the data unless a byte had to be shown as an escape", () => {
  expect(lossless({ value: '{"é": "\\\\xff"}', size: 15 })).toBe(true);
  expect(lossless({ value: "\\xff", size: 1 })).toBe(false);
});
