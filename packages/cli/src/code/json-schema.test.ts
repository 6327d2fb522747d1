import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { projectFolder, put } from "../testing/project.ts";
import { typeProblems } from "../testing/tsc.ts";
import { NamedTypes, toTypeScript } from "./json-schema.ts";
import { literal } from "./literal.ts";

const type = (schema: unknown) => toTypeScript(schema, new NamedTypes(), "x");
/** The type with the declarations it needs. */
function whole(schema: unknown, shared?: unknown): string {
  const names = new NamedTypes(["Taken"]);
  const text = toTypeScript(schema, names, "x", "", shared);
  return `${names.source}${text}`;
}

describe("a schema becomes a type", () => {
  test.each<[string, unknown]>([
    ["string", { type: "string", minLength: 1 }],
    ["number", { type: "integer" }],
    ["string | null", { type: ["string", "null"] }],
    ['"a" | "b" | 7 | null', { enum: ["a", "b", 7, null] }],
    ['{ kind: "a"; "x-y": [1] }', { const: { kind: "a", "x-y": [1] } }],
    ["(string | number)[]", { type: "array", items: { type: ["string", "number"] } }],
    ["unknown[]", { type: "array" }],
    ["[string, number?]", { prefixItems: [{ type: "string" }, { type: "number" }], minItems: 1, items: false }],
    ["[string?, ...(string | null)[]]", { prefixItems: [{ type: "string" }], items: { type: ["string", "null"] } }],
    ["[string?]", { type: "array", items: [{ type: "string" }], additionalItems: false }],
    ["{ [key: string]: unknown }", { type: "object" }],
    ["{ [key: string]: never }", { type: "object", additionalProperties: false }],
    ["{ [key: string]: number }", { type: "object", additionalProperties: { type: "number" } }],
    ["{ [key: string]: number }", { patternProperties: { "^a": { type: "number" } }, additionalProperties: false }],
    [
      "{\n  a: string;\n  b?: number;\n}",
      { properties: { a: { type: "string" }, b: { type: "number" } }, required: ["a"] },
    ],
    ["{\n  a: unknown;\n}", { type: "object", required: ["a"] }],
    [
      "{\n  a?: string;\n  [key: string]: unknown;\n}",
      { properties: { a: { type: "string" } }, additionalProperties: true },
    ],
    ["string | number", { anyOf: [{ type: "string" }, { type: "number" }] }],
    ["string | number", { oneOf: [{ type: "string" }, { type: "number" }, { type: "string" }] }],
    [
      "(string | number) & (number | boolean)",
      { allOf: [{ type: ["string", "number"] }, { type: ["number", "boolean"] }] },
    ],
    ["unknown", {}],
    ["unknown", true],
    ["never", false],
    ["unknown", { not: { type: "string" } }],
    ["unknown", { type: "colour" }],
    ["unknown", { $ref: "https://example.com/other.json" }],
    ["unknown", { $ref: "#/nowhere" }],
    ["unknown", "no schema at all"],
  ])("%s", (expected, schema) => {
    expect(type(schema)).toBe(expected);
  });

  test("descriptions become comments", () => {
    expect(type({ properties: { a: { type: "string", description: "One.\nEnds */ here." } } })).toBe(
      "{\n  /**\n   * One.\n   * Ends *\\/ here.\n   */\n  a?: string;\n}",
    );
  });

  test("parts that are referred to get names of their own, also when they refer to themselves", () => {
    const node = { type: "object", properties: { next: { $ref: "#/$defs/node" } }, required: ["next"] };
    expect(whole({ $ref: "#/$defs/node", $defs: { node } })).toBe("type XNode = {\n  next: XNode;\n};\nXNode");
    expect(whole({ properties: { self: { $ref: "#" } } })).toBe(
      "type XSelf = {\n  self?: XSelf;\n};\n{\n  self?: XSelf;\n}",
    );
    const shared = { components: { schemas: { Job: { type: "string" } } } };
    expect(whole({ $ref: "#/components/schemas/Job" }, shared)).toBe("type XJob = string;\nXJob");
    expect(whole({ properties: { "a/b": { type: "null" }, x: { $ref: "#/properties/a~1b" } } })).toContain("x?: XA1b;");
  });

  test("a part that is nothing but itself is unknown", () => {
    expect(whole({ $ref: "#" })).toBe("type XSelf = unknown;\nXSelf");
    expect(
      whole({ anyOf: [{ $ref: "#/$defs/a" }], $defs: { a: { anyOf: [{ $ref: "#/$defs/a" }, { type: "null" }] } } }),
    ).toBe("type XA = unknown;\nXA");
  });

  test("a schema without an end is not followed for ever", () => {
    let deep: object = { type: "string" };
    for (let i = 0; i < 500; i++) deep = { type: "array", items: deep };
    expect(type(deep)).toMatch(/^unknown(\[\])+$/);
  });
});

/** A schema together with a value that fits it. */
type Pair = { schema: { [keyword: string]: unknown }; value: unknown };
const { pair } = fc.letrec<{ pair: Pair }>((tie) => ({
  pair: fc.oneof(
    { depthSize: "small" },
    fc.string().map((value): Pair => ({ schema: { type: "string" }, value })),
    fc.integer().map((value): Pair => ({ schema: { type: "integer" }, value })),
    fc.boolean().map((value): Pair => ({ schema: { type: ["boolean", "null"] }, value })),
    fc.constant<Pair>({ schema: { type: "null" }, value: null }),
    fc.array(fc.jsonValue({ maxDepth: 1 }), { minLength: 1, maxLength: 3 }).map((list): Pair => {
      const plain = JSON.parse(JSON.stringify(list));
      return { schema: { enum: plain }, value: plain[0] };
    }),
    fc.array(tie("pair"), { maxLength: 3 }).map(
      (pairs): Pair => ({
        schema: { type: "array", items: { anyOf: [...pairs.map(({ schema }) => schema), { type: "null" }] } },
        value: pairs.map(({ value }) => value),
      }),
    ),
    fc.array(tie("pair"), { minLength: 1, maxLength: 3 }).map(
      (pairs): Pair => ({
        schema: { type: "array", prefixItems: pairs.map(({ schema }) => schema), minItems: pairs.length, items: false },
        value: pairs.map(({ value }) => value),
      }),
    ),
    fc
      .tuple(
        fc.dictionary(fc.string({ maxLength: 4 }), tie("pair"), { maxKeys: 3, noNullPrototype: true }),
        fc.boolean(),
      )
      .map(([fields, open]): Pair => {
        const entries = Object.entries(fields).filter(([name]) => name !== "__proto__");
        const properties = Object.fromEntries(entries.map(([name, { schema }]) => [name, schema]));
        const value = Object.fromEntries(entries.map(([name, one]) => [name, one.value]));
        const required = entries.slice(0, 1).map(([name]) => name);
        return {
          schema: { type: "object", properties, required, additionalProperties: open },
          value: open ? { ...value, "extra!": 1 } : value,
        };
      }),
    fc.tuple(tie("pair"), tie("pair")).map(
      ([one, other]): Pair => ({
        schema: { oneOf: [one.schema, { allOf: [other.schema, { not: {} }] }] },
        value: one.value,
      }),
    ),
  ),
}));

test("every value that fits a schema fits its type", { timeout: 600_000 }, async () => {
  const ajv = new Ajv2020({ strict: false });
  const folder = await projectFolder();
  const cases = fc.sample(pair, { numRuns: 300, seed: 11 }).filter(({ schema, value }) => ajv.validate(schema, value));
  expect(cases.length).toBeGreaterThan(200);
  const names = new NamedTypes();
  const lines = cases.map(
    ({ schema, value }, i) => `export const v${i}: ${toTypeScript(schema, names, `T${i}`)} = ${literal(value)};\n`,
  );
  await put(folder, "values.ts", `${names.source}${lines.join("")}`);
  expect(await typeProblems(folder)).toEqual([]);
});
