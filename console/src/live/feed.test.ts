import { expect, test } from "vitest";
import { eventOf, type LiveEvent } from "./event";
import { EMPTY, type Feed, full, hold, KEPT, received, release } from "./feed";

function events(from: number, to: number): LiveEvent[] {
  return Array.from({ length: to - from }, (_, index) => {
    const event = eventOf(`e-1.${from + index}`, '{"topic": "t"}');
    if (event === undefined) throw new Error("no event");
    return event;
  });
}

const cursors = (feed: Feed) => feed.shown.map((event) => event.cursor);

test("a held list stays as it is and gets the missed events when released", () => {
  const before = received(EMPTY, events(0, 3));
  const held = received(received(hold(before), events(3, 5)), events(5, 6));
  expect(cursors(held)).toEqual(cursors(before));
  expect(held.waiting).toHaveLength(3);
  expect(cursors(release(held))).toEqual(cursors(received(EMPTY, events(0, 6))));
});

test("a list keeps the newest events", () => {
  const feed = received(received(EMPTY, events(0, KEPT)), events(KEPT, KEPT + 10));
  expect(feed.shown).toHaveLength(KEPT);
  expect(feed.shown.at(0)?.cursor).toBe("e-1.10");
});

test("a held list is full at its limit, and not before", () => {
  const held = received(hold(EMPTY), events(0, KEPT - 1));
  expect(full(held)).toBe(false);
  expect(full(received(held, events(KEPT - 1, KEPT)))).toBe(true);
  expect(full(release(received(held, events(KEPT - 1, KEPT))))).toBe(false);
});
