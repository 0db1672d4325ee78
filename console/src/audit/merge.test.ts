import { expect, test } from "vitest";
import { merged } from "./merge";

const at = (...seconds: number[]) => seconds.map((each) => ({ at: new Date(each * 1000).toISOString() }));
const shown = (found: ReturnType<typeof merged<{ at: string }>>) =>
  found.entries.map((each) => Date.parse(each.at) / 1000);

test("entries of all sources are merged, the newest first", () => {
  const found = merged([
    { entries: at(9, 4, 1), more: false },
    { entries: [], more: false },
    { entries: at(7, 5), more: false },
  ]);
  expect(shown(found)).toEqual([9, 7, 5, 4, 1]);
  expect(found.lacking).toEqual([]);
});

test("the list ends where the next page of a source may be newer", () => {
  const found = merged([
    { entries: at(9, 8), more: true },
    { entries: at(7, 5), more: false },
  ]);
  expect(shown(found)).toEqual([9, 8]);
  expect(found.lacking).toEqual([0]);
});

test("nothing older than the beginning is read", () => {
  const found = merged(
    [
      { entries: at(9, 4), more: true },
      { entries: at(7, 3), more: true },
    ],
    5_000,
  );
  expect(shown(found)).toEqual([9, 7]);
  expect(found.lacking).toEqual([]);
});

test("two entries of one time keep the sequence of the sources", () => {
  const first = { at: "2026-03-01T12:00:00Z", name: "first" };
  const second = { at: "2026-03-01T12:00:00.000Z", name: "second" };
  const sources = [first, second].map((each) => ({ entries: [each], more: false }));
  expect(merged(sources).entries).toEqual([first, second]);
});
