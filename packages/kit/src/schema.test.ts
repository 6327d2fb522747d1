import { describe, expect, test } from "vitest";
import { z } from "zod";
import { issuePath } from "./schema.ts";

describe("the path of a schema's issue", () => {
  test.each([
    [undefined, ""],
    [[], ""],
    [["name"], "name"],
    [["input", 0, "name"], "input[0].name"],
    [[0, 1, "a"], "[0][1].a"],
    [[{ key: "lines" }, { key: 2 }, { key: "sku" }], "lines[2].sku"],
  ])("%j is %s", (path, text) => {
    expect(issuePath(path === undefined ? { message: "wrong" } : { message: "wrong", path })).toBe(text);
  });

  test("names the field of a real library's issue", async () => {
    const schema = z.object({ lines: z.array(z.object({ sku: z.string() })) });
    const result = await schema["~standard"].validate({ lines: [{ sku: "a" }, { sku: 7 }] });
    expect(result.issues?.map((issue) => issuePath(issue))).toEqual(["lines[1].sku"]);
  });
});
