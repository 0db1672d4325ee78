import { expect, test } from "vitest";
import { groupHref, liveHref, topicHref } from "./links";

test("live events are linked by topic, and one of them by its cursor", () => {
  expect(liveHref("t.v1", { event: "e-1.7" })).toBe("/live?topic=t.v1&from=1h&event=e-1.7");
});

test("a type is linked within its topic", () => {
  expect(topicHref("t.v1")).toBe("/topics/t.v1");
  expect(topicHref("a/b", "x&y")).toBe("/topics/a%2Fb?type=x%26y");
});

test("a projection is linked without its group, whose generation is not known", () => {
  const reader = { service: "a", kind: "projection", group: "a.b" };
  expect(groupHref(reader)).toBe("/consumers?service=a");
  expect(groupHref({ ...reader, kind: "log" })).toBe("/consumers?service=a&group=a.b");
});
