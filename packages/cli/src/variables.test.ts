import { expect, test } from "vitest";
import { UsageError } from "./errors.ts";
import { parseVariables } from "./variables.ts";

test("= sets text as it stands, := sets a number or a boolean", () => {
  const texts = ["TONE=dry = good", "EMPTY=", "FLAG=true", "VIP:=true", "MAX:=3.5"];
  expect(parseVariables(texts)).toEqual({ TONE: "dry = good", EMPTY: "", FLAG: "true", VIP: true, MAX: 3.5 });
});

test.each(["TONE", "tone=dry", "=dry", "MAX:=three", "LIST:=[1]", "NONE:=null"])("%s is refused", (text) => {
  expect(() => parseVariables([text])).toThrow(UsageError);
});
