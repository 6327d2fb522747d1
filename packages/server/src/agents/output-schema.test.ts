import { describe, expect, test } from "vitest";
import { outputProblems, outputSchemaProblem } from "./output-schema.ts";

const withPattern = (pattern: string) => ({ type: "object", properties: { a: { type: "string", pattern } } });

describe("an output schema", () => {
  test("says what is wrong with an answer, in words with the place", () => {
    const schema = {
      type: "object",
      required: ["n"],
      properties: { n: { type: "integer" } },
      additionalProperties: false,
    };
    expect(outputProblems(schema, { n: 1 })).toEqual([]);
    expect(outputProblems(schema, { n: "1" })).toEqual(["/n must be integer"]);
    expect(outputProblems(schema, { n: 1, x: 2 })).toEqual(['the answer must NOT have additional properties ("x")']);
  });

  test("that is too large, too deep, asynchronous or no schema is refused", () => {
    let deep: object = { type: "string" };
    for (let i = 0; i < 40; i++) deep = { type: "array", items: deep };
    expect(outputSchemaProblem(deep as never)).toMatch(/levels/);
    expect(outputSchemaProblem({ description: "x".repeat(70_000) })).toMatch(/bytes/);
    expect(outputSchemaProblem({ $async: true })).toMatch(/\$async/);
    expect(outputSchemaProblem({ type: "no such type" })).toMatch(/JSON Schema/);
    expect(outputSchemaProblem(withPattern("("))).toMatch(/JSON Schema/);
    expect(outputSchemaProblem(withPattern("a?".repeat(33)))).toMatch(/question marks/);
    expect(outputSchemaProblem({ $ref: "http://example.com/schema.json" })).toMatch(/JSON Schema/);
  });

  test("with several patterns keeps them apart", () => {
    const schema = { type: "object", properties: { a: { pattern: "^a$" }, b: { pattern: "^b$" } } };
    expect(outputProblems(schema, { a: "a", b: "b" })).toEqual([]);
    expect(outputProblems(schema, { a: "b", b: "b" })).toHaveLength(1);
  });

  test("with a pattern that would never end on an answer ends all the same", () => {
    const schema = withPattern("^(a+)+$");
    expect(outputSchemaProblem(schema)).toBeUndefined();
    expect(outputProblems(schema, { a: "aaa" })).toEqual([]);
    expect(outputProblems(schema, { a: `${"a".repeat(40)}!` })).toHaveLength(1);
  });
});
