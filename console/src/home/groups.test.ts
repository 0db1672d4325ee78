import { expect, test } from "vitest";
import { byCause, byService } from "./groups";

test("rows of a cause are one group, and causes keep their order", () => {
  const rows = ["dead_letters", "backordered", "backordered"].map((cause, id) => ({ cause, id }));
  expect(byCause(rows).map(([cause, found]) => [cause, found.map((row) => row.id)])).toEqual([
    ["dead_letters", [0]],
    ["backordered", [1, 2]],
  ]);
});

test("parts of a service are one entry", () => {
  const checked = [
    { what: "broker", answered: false },
    { what: "order-service/operations", answered: true },
    { what: "order-service/stopped", answered: false },
  ];
  expect(byService(checked)).toEqual([
    ["broker", [{ part: "", answered: false }]],
    [
      "order-service",
      [
        { part: "operations", answered: true },
        { part: "stopped", answered: false },
      ],
    ],
  ]);
});
