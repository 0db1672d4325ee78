import { expect, test } from "vitest";
import { byKind, type Match, type Matches, onlyOne } from "./matches";

function match(kind: Match["kind"], whole: boolean, link: string, by: Match["by"] = "id"): Match {
  return { kind, by, id: "x", title: null, detail: null, partner: null, time: null, whole, link };
}

function found(...items: Match[]): Matches {
  const searched = (["order", "event", "correlation"] as const).map((kind) => ({
    kind,
    by: kind === "order" ? ("reference" as const) : ("id" as const),
    found: items.filter((each) => each.kind === kind).length,
    more: false,
  }));
  return { q: "x", items, searched };
}

test("results are grouped by kind, and kinds without any left out", () => {
  const order = match("order", false, "/orders/1", "reference");
  expect(byKind(found(match("event", true, "/e"), order)).map((each) => [each.kind.kind, each.items.length])).toEqual([
    ["order", 1],
    ["event", 1],
  ]);
});

test("only a single whole match is opened at once", () => {
  expect(onlyOne(found(match("order", true, "/orders/1"), match("order", false, "/orders/2")))).toBe("/orders/1");
  expect(onlyOne(found(match("order", true, "/orders/1"), match("order", true, "/orders/2")))).toBeUndefined();
  expect(onlyOne(found(match("event", true, "/e"), match("correlation", true, "/c")))).toBe("/e");
  expect(onlyOne(found(match("correlation", true, "/c")))).toBe("/c");
  expect(onlyOne(found(match("order", false, "/orders/1")))).toBeUndefined();
  expect(onlyOne(found())).toBeUndefined();
});
