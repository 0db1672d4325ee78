import { expect, test } from "vitest";
import { asCurl, FILTERS, streamPath, type Values } from "./address";

const NONE = Object.fromEntries(FILTERS.map((name) => [name, ""])) as Values;

test("filters become parameters, several types one each", () => {
  expect(streamPath(NONE, undefined, undefined)).toBe("/v1/stream");
  expect(streamPath(NONE, undefined, "2026-11-27T06:20:00Z")).toBe("/v1/stream?since=2026-11-27T06%3A20%3A00Z");
  expect(
    streamPath({ ...NONE, type: "OrderPlaced, crossdock.X.v2", key: "a b&c" }, "e-1.7", "2026-11-27T06:20:00Z"),
  ).toBe("/v1/stream?type=crossdock.OrderPlaced.v1&type=crossdock.X.v2&key=a+b%26c&after=e-1.7");
});

test("a filter cannot leave the quotes of the command", () => {
  const command = asCurl(
    "http://127.0.0.1:8440",
    streamPath({ ...NONE, text: "'; rm -rf ~ #'" }, undefined, undefined),
  );
  expect(command.match(/'/g)).toHaveLength(2);
});
