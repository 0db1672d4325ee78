import { expect, test } from "vitest";
import { eventOf, leftOf } from "./event";

test("a record that is no event of ours is shown with the fields that it has", () => {
  const event = eventOf("e-1.7", '{"topic": "other", "type": null, "key": null, "time": "2026-11-27T06:00:00+00:00"}');
  expect(event).toMatchObject({ cursor: "e-1.7", topic: "other", type: undefined, key: undefined, repeat: false });
});

test("data that describes no record gives no event", () => {
  for (const data of ["", "{", "null", "[]", "7", '{"topic": 7}']) expect(eventOf("e-1.7", data)).toBeUndefined();
});

test("a search says how much is left", () => {
  expect(leftOf('{"cursor": "e-1.7", "left": 120}')).toBe(120);
  expect(leftOf("{}")).toBeUndefined();
});
