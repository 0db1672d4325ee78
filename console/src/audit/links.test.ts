import { expect, test } from "vitest";
import { actedOn } from "./links";

test("each entry leads to what shows its target", () => {
  const href = (action: string, target: string) => actedOn({ service: "order-service", action, target })?.href;
  expect(href("order:cancel", "/v1/orders/7")).toBe("/orders/7");
  expect(href("dead-letter:discard", "/v1/dead-letters/7")).toBe("/dead-letters/order-service/7");
  expect(href("dead-letters:resolve", "/v1/jobs/7")).toBe("/dead-letters/order-service/jobs/7");
  expect(href("job:stop", "/v1/jobs/7")).toBe("/api/order-service/v1/jobs/7");
  expect(href("projection:rebuild", "/v1/projections/x")).toBe("/consumers?service=order-service");
  expect(href("limit:set", "/v1/limits/orders/acme")).toBeUndefined();
  expect(href("x", "javascript:alert(1)")).toBeUndefined();
});
