import { expect, test } from "vitest";
import { Parser } from "./sse";

test("messages split at any byte come out whole", () => {
  const stream = ': hello\n\nid: 1.7\nevent: record\ndata: {"a":\ndata: 1}\n\r\nretry: 5\ndata:x\r\n\r\n';
  for (let at = 0; at <= stream.length; at++) {
    const parser = new Parser();
    const found = [...parser.push(stream.slice(0, at)), ...parser.push(stream.slice(at))];
    expect(found).toEqual([
      { id: "1.7", event: "record", data: '{"a":\n1}' },
      { id: "1.7", event: "message", data: "x" },
    ]);
  }
});

test("the last id is the one of complete blocks, comments included", () => {
  const parser = new Parser();
  parser.push(": here\nid: e-1.7\n\nid: e-1.8\ndata: half");
  expect(parser.lastId).toBe("e-1.7");
  expect(parser.push("\n\n")).toEqual([{ id: "e-1.8", event: "message", data: "half" }]);
  expect(parser.lastId).toBe("e-1.8");
});

test("a message that has no end does not come out", () => {
  expect(new Parser().push("data: half\n")).toEqual([]);
});
