import { expect, test } from "vitest";
import { hexLines } from "./hex-lines";

test("bytes are shown with their offset, digits and printable characters", () => {
  const bytes = new Uint8Array([0, 0xff, ...new TextEncoder().encode('{"a": "é"}~end')]);
  expect(hexLines(bytes)).toEqual([
    '00000000  00 ff 7b 22 61 22 3a 20 22 c3 a9 22 7d 7e 65 6e  ..{"a": "..."}~en'.replace('"..."', '".."'),
    `00000010  64${" ".repeat(47)}d`,
  ]);
  expect(hexLines(new Uint8Array())).toEqual([]);
});

test("a large record has a line for each 16 bytes", () => {
  const lines = hexLines(new Uint8Array(900_000));
  expect(lines).toHaveLength(56_250);
  expect(lines.at(-1)).toMatch(/^000dbb90 {2}(00 ){16} \.{16}$/);
});
