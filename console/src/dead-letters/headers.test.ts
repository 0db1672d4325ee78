import { expect, test } from "vitest";
import { headersFrom } from "./headers";

test("headers are an object of texts", () => {
  expect(headersFrom('{"ce_id": "7"}')).toEqual({ ce_id: "7" });
  for (const typed of ["", "{", "[]", "null", '"x"', '{"a": 1}', '{"a": null}']) {
    expect(() => headersFrom(typed)).toThrow("JSON");
  }
});
