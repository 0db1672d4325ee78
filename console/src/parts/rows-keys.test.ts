import { expect, test } from "vitest";
import { destination } from "./rows-keys";

test("keys move by a row and to the ends, and not beyond", () => {
  expect(destination("ArrowDown", 3, 10)).toBe(4);
  expect(destination("k", 3, 10)).toBe(2);
  expect(destination("ArrowUp", 0, 10)).toBe(0);
  expect(destination("j", 9, 10)).toBe(9);
  expect(destination("End", 3, 10)).toBe(9);
  expect(destination("Home", 3, 10)).toBe(0);
});

test("other keys, and keys outside a row, move nothing", () => {
  expect(destination("a", 3, 10)).toBeUndefined();
  expect(destination("ArrowDown", Number.NaN, 10)).toBeUndefined();
  expect(destination("toString", 3, 10)).toBeUndefined();
});
