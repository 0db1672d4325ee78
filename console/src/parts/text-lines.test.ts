import { expect, test } from "vitest";
import { LONGEST, linesOf } from "./text-lines";

test("json is indented and other text stays", () => {
  expect(linesOf('{"a":[1]}')).toEqual(["{", '  "a": [', "    1", "  ]", "}"]);
  expect(linesOf("no json\n{")).toEqual(["no json", "{"]);
  expect(linesOf("")).toEqual([""]);
});

test("long lines are cut and lose nothing", () => {
  const long = JSON.stringify("x".repeat(900_000));
  const lines = linesOf(long);
  expect(Math.max(...lines.map((line) => line.length))).toBe(LONGEST);
  expect(lines.join("")).toBe(long);
});
