// biome-ignore-all lint/suspicious/noTemplateCurlyInString: placeholders are what this is about
import { type AgentConfigInput, agentConfig } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { diff } from "./diff.ts";
import { draftProblems } from "./draft.ts";
import { outputProblems, outputSchemaProblem } from "./output-schema.ts";

const paths = (config: Partial<AgentConfigInput>) =>
  draftProblems(agentConfig.parse({ name: "A", ...config }), new Set(["search"])).map(({ path }) => path);

describe("a draft", () => {
  test("with nothing but a name can be published", () => {
    expect(paths({})).toEqual([]);
  });

  test("shows all its problems at once", () => {
    expect(
      paths({
        instructions: "Hi ${USER} and ${product:-x} and $${LITERAL} and ${USER}",
        variables: { LANG: { schema: { type: "string", format: "locale" }, default: "not a locale" } },
        tools: [{ name: "search" }, { name: "search" }, { name: "missing" }],
        output_schema: { type: "nonsense" },
      }),
    ).toEqual([
      "instructions",
      "instructions",
      "variables.LANG.default",
      "tools[1].name",
      "tools[2].name",
      "output_schema",
    ]);
  });
});

describe("an output schema", () => {
  test("is a JSON Schema", () => {
    expect(
      outputSchemaProblem({ type: "object", properties: { a: { type: "string" } }, required: ["a"] }),
    ).toBeUndefined();
    expect(outputSchemaProblem({ $defs: { n: { type: "number" } }, $ref: "#/$defs/n" })).toBeUndefined();
    expect(outputSchemaProblem({ type: 5 })).toMatch(/JSON Schema/);
    expect(outputSchemaProblem({ type: "string", pattern: "(" })).toMatch(/JSON Schema/);
  });

  test("refers to nothing outside itself", () => {
    expect(outputSchemaProblem({ $ref: "https://example.com/schema.json" })).toMatch(/JSON Schema/);
    expect(outputSchemaProblem({ $async: true, type: "string" })).toMatch(/async/);
  });

  test("is neither too large nor too deep", () => {
    expect(outputSchemaProblem({ description: "x".repeat(70_000) })).toMatch(/bytes/);
    let deep: Record<string, unknown> = { type: "string" };
    for (let i = 0; i < 200; i++) deep = { not: deep };
    expect(outputSchemaProblem(deep)).toMatch(/levels/);
  });

  test("with the same $id as another one does not meet it", () => {
    expect(outputSchemaProblem({ $id: "urn:x:a", type: "string" })).toBeUndefined();
    expect(outputSchemaProblem({ $id: "urn:x:a", type: "number" })).toBeUndefined();
    expect(outputProblems({ $id: "urn:x:a", type: "number" }, 1)).toEqual([]);
  });

  test("says what is wrong with an answer", () => {
    const schema = {
      type: "object",
      properties: { n: { type: "integer" } },
      required: ["n"],
      additionalProperties: false,
    };
    expect(outputProblems(schema, { n: 1 })).toEqual([]);
    expect(outputProblems(schema, { n: "x" })).toEqual(["/n must be integer"]);
    expect(outputProblems(schema, { n: 1, m: 2 })).toEqual(['the answer must NOT have additional properties ("m")']);
    expect(outputProblems(schema, null)).toEqual(["the answer must be object"]);
  });
});

describe("a diff", () => {
  test("lists what was added, removed and changed, by path", () => {
    expect(
      diff(
        { name: "a", tools: [{ name: "x" }, { name: "y" }], old: 1 },
        { tools: [{ name: "x" }], name: "b", fresh: null },
      ),
    ).toEqual([
      { path: "fresh", after: null },
      { path: "name", before: "a", after: "b" },
      { path: "old", before: 1 },
      { path: "tools[1]", before: { name: "y" } },
    ]);
  });

  test("of equal things is empty, whatever the order of their keys", () => {
    expect(diff({ a: 1, b: { c: [1], d: 2 } }, { b: { d: 2, c: [1] }, a: 1 })).toEqual([]);
  });

  test("shows a change of kind as one change", () => {
    expect(diff({ a: [1] }, { a: { 0: 1 } })).toEqual([{ path: "a", before: [1], after: { 0: 1 } }]);
    expect(diff({ a: null }, { a: {} })).toEqual([{ path: "a", before: null, after: {} }]);
  });
});
