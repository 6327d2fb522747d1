import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { fillSchema } from "./demo-fill.ts";
import { textForPattern } from "./demo-pattern.ts";

const source = {
  text: "Please find the open billing tickets of ada@example.org, ticket T-1004, from 2026-03-04",
  facts: [],
};
const ajv = new Ajv2020({ strict: false, validateFormats: false });

function fits(schema: { [key: string]: unknown }, from = source) {
  const value = fillSchema(schema, from);
  const check = ajv.compile(schema);
  expect(check(value), `${JSON.stringify(value)} for ${JSON.stringify(schema)}`).toBe(true);
  return value;
}

describe("fillSchema", () => {
  test("a query gets the key words of the text", () => {
    expect(fillSchema({ type: "string" }, source, "q")).toBe("find open billing tickets ada@example.org ticket");
    expect(fillSchema({ type: "string" }, source, "searchQuery")).toContain("billing");
  });

  test("an id, an e-mail address, a date and a pattern are taken from the text when it has one", () => {
    expect(fillSchema({ type: "string" }, source, "ticket_id")).toBe("T-1004");
    expect(fillSchema({ type: "string", format: "email" }, source)).toBe("ada@example.org");
    expect(fillSchema({ type: "string", format: "date" }, source)).toBe("2026-03-04");
    expect(fillSchema({ type: "string", pattern: "^[A-Z]-\\d{4}$" }, source, "anything")).toBe("T-1004");
  });

  test("an id comes from what tools found when the text has none", () => {
    const facts = [{ key: "ticket_id", value: "T-7" }];
    expect(fillSchema({ type: "string" }, { text: "hello", facts }, "ticket_id")).toBe("T-7");
    expect(fillSchema({ type: "string" }, { text: "hello", facts: [{ key: "id", value: 9 }] }, "ticket_id")).toBe("9");
  });

  test("an id that tools found under the same name comes before one in the text that they did not find", () => {
    const facts = [{ key: "document_id", value: "document_1" }];
    expect(fillSchema({ type: "string" }, { text: "it shows E-17", facts }, "document_id")).toBe("document_1");
    const found = [...facts, { key: "document_id", value: "E-17" }];
    expect(fillSchema({ type: "string" }, { text: "it shows E-17", facts: found }, "document_id")).toBe("E-17");
  });

  test("a number is what the text says behind its name, when it is within the bounds", () => {
    const amount = (text: string) =>
      fillSchema({ type: "integer", minimum: 1, maximum: 50_000 }, { text, facts: [] }, "amount_cents");
    expect(amount("Refund QH-20417, amount_cents 12000, charged twice")).toBe(12_000);
    expect(amount("Amount cents: 700")).toBe(700);
    expect([amount("amount_cents 60000"), amount("pay 12 cents")]).toEqual([1, 1]);
  });

  test("an enum takes the value that the text mentions, else the first", () => {
    expect(fillSchema({ enum: ["closed", "open", "all"] }, source)).toBe("open");
    expect(fillSchema({ enum: ["red", "green"] }, source)).toBe("red");
  });

  test.each([
    ["date", z.iso.date()],
    ["date-time", z.iso.datetime()],
    ["time", z.iso.time()],
    ["email", z.email()],
    ["uri", z.url()],
    ["uuid", z.uuid()],
    ["ipv4", z.ipv4()],
    ["ipv6", z.ipv6()],
    ["duration", z.iso.duration()],
  ])("format %s is met with and without help from the text", (format, schema) => {
    for (const text of ["", "nothing here", source.text]) {
      const value = fillSchema({ type: "string", format }, { text, facts: [] });
      // JSON Schema's time has an offset, zod's has none.
      expect(schema.safeParse(format === "time" ? `${value}`.replace("Z", "") : value).success).toBe(true);
    }
  });

  test.each<[string, { [key: string]: unknown }]>([
    ["a constant", { const: { a: [1] } }],
    ["a minimum and a maximum", { type: "number", minimum: 2.5, maximum: 2.75 }],
    ["only a maximum", { type: "integer", maximum: -3 }],
    ["exclusive bounds", { type: "integer", exclusiveMinimum: 3, exclusiveMaximum: 5 }],
    ["exclusive bounds of a number", { type: "number", exclusiveMinimum: 0 }],
    ["a multiple", { type: "integer", minimum: 11, multipleOf: 5 }],
    ["a long text", { type: "string", minLength: 300 }],
    ["a short text", { type: "string", maxLength: 3 }],
    ["a nullable type", { type: ["null", "integer"] }],
    ["null first in anyOf", { anyOf: [{ type: "null" }, { type: "string" }] }],
    ["oneOf with a shared keyword", { oneOf: [{ type: "string" }, { type: "number" }], description: "x" }],
    [
      "allOf",
      {
        allOf: [
          { type: "object", required: ["a"] },
          { required: ["b"], properties: { b: { type: "integer" } } },
        ],
      },
    ],
    [
      "a reference",
      {
        $defs: { n: { type: "integer", minimum: 7 } },
        type: "object",
        properties: { n: { $ref: "#/$defs/n" } },
        required: ["n"],
      },
    ],
    ["distinct items", { type: "array", items: { enum: ["a", "b", "c"] }, minItems: 3, uniqueItems: true }],
    ["distinct texts", { type: "array", items: { type: "string" }, minItems: 3, uniqueItems: true }],
    ["distinct numbers", { type: "array", items: { type: "integer", minimum: 1 }, minItems: 4, uniqueItems: true }],
    ["an empty array", { type: "array", items: { type: "string" }, maxItems: 0 }],
    ["a tuple", { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }], items: false }],
    [
      "a closed object",
      {
        type: "object",
        properties: { a: { type: "boolean" }, b: { type: "null" } },
        required: ["a", "b"],
        additionalProperties: false,
      },
    ],
    [
      "a required property that is not described",
      { type: "object", required: ["x"], additionalProperties: { type: "integer" } },
    ],
    ["no type at all", { minimum: 4 }],
    ["an empty schema", {}],
  ])("%s is met", (_name, schema) => {
    fits(schema);
  });

  test("a schema that refers to itself comes to an end", () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, next: { anyOf: [{ type: "null" }, { $ref: "#" }] } },
      required: ["name"],
    };
    expect(fits(schema)).toHaveProperty("name");
    fillSchema({ type: "object", properties: { next: { $ref: "#" } }, required: ["next"] }, source);
  });

  test("any schema of the kinds that output schemas are made of is met, twice with the same value", () => {
    const leaf: fc.Arbitrary<{ [key: string]: unknown }> = fc.oneof(
      fc.record({ type: fc.constant("string"), minLength: fc.nat(20) }),
      fc.record({
        type: fc.constant("string"),
        enum: fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }),
      }),
      fc.record({ type: fc.constant("integer"), minimum: fc.integer({ min: -50, max: 50 }) }),
      fc.integer({ min: -20, max: 20 }).map((maximum) => ({ type: "number", maximum })),
      fc.constantFrom({ type: "boolean" }, { type: ["string", "null"] }, { type: "string", format: "uuid" }),
    );
    const { schema } = fc.letrec<{ schema: { [key: string]: unknown } }>((tie) => ({
      schema: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.record({ type: fc.constant("array"), items: tie("schema"), minItems: fc.nat(3) }),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), tie("schema"), { maxKeys: 4 }).map((properties) => ({
          type: "object",
          properties,
          required: Object.keys(properties),
          additionalProperties: false,
        })),
        tie("schema").map((inner) => ({ anyOf: [{ type: "null" }, inner] })),
      ),
    }));
    fc.assert(
      fc.property(schema, fc.string(), (made, text) => {
        expect(fits(made, { text, facts: [] })).toEqual(fillSchema(made, { text, facts: [] }));
      }),
      { numRuns: 100 },
    );
  });
});

describe("textForPattern", () => {
  test.each([
    "^[A-Z]{2,4}-\\d{3,}$",
    "^(open|closed)$",
    "^#[0-9a-f]{6}$",
    "^[^a-z]+$",
    "^\\+?[0-9 ]{7,15}$",
    "^(?:v)?\\d+\\.\\d+\\.\\d+$",
    "^(?<year>\\d{4})/\\w+$",
    "[\\]x]y?",
    "",
  ])("%s is met", (pattern) => {
    expect(textForPattern(pattern)).toMatch(new RegExp(pattern, "u"));
  });

  test.each(["^(?=a)b", "[", "(", "^a{9999999}$", "\\1", "a**"])(
    "%s is not understood, and that does no harm",
    (pattern) => {
      expect(textForPattern(pattern)).toBeUndefined();
    },
  );
});
