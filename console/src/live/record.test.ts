import { expect, test } from "vitest";
import { dataOf } from "./record";

test("data keeps the digits that it was written with", () => {
  const text =
    '{"headers": {"data": "x", "raw": "null"}, "raw": null, "data": {"price": 1.10, "id": 12345678901234567890}}';
  expect(dataOf(text)).toBe('{"price": 1.10, "id": 12345678901234567890}');
});
