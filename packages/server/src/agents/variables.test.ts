import { type CallboardError, variables as givenVariables, type VariableSchema } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Declarations, declarationProblems, resolveVariables } from "./variables.ts";

const declare = (schema: VariableSchema, more: { default?: string | number | boolean } = {}): Declarations => ({
  NAME: { schema, ...more },
});
const text = declare({ type: "string" });

/** Paths of the problems; empty when the values pass. */
function refused(declarations: Declarations, given: Record<string, unknown>): string[] {
  try {
    resolveVariables(declarations, given);
    return [];
  } catch (error) {
    expect((error as CallboardError).code).toBe("invalid_variables");
    return (error as CallboardError).details.fields?.map(({ path }) => path) ?? [];
  }
}
const passes = (schema: VariableSchema, value: unknown): boolean =>
  refused(declare(schema), { NAME: value }).length === 0;

describe("variables", () => {
  test("that fit their schemas come back as they were given", () => {
    const declarations: Declarations = {
      PRODUCT: { schema: { type: "string", enum: ["basic", "pro"] } },
      COUNT: { schema: { type: "integer", minimum: 1 } },
      BETA: { schema: { type: "boolean" } },
    };
    const given = { PRODUCT: "pro", COUNT: 3, BETA: false };
    expect(resolveVariables(declarations, given)).toEqual({ values: given });
  });

  test("may all be left out", () => {
    expect(resolveVariables(declare({ type: "number" }, { default: 4 }), undefined)).toEqual({ values: {} });
  });

  test("that are empty count as left out, whatever else their schema asks", () => {
    const schema: VariableSchema = { type: "string", enum: ["a"], minLength: 1, pattern: "^a$" };
    expect(resolveVariables(declare(schema), { NAME: "" })).toEqual({ values: {} });
  });

  test("are refused all at once, each with its path", () => {
    const declarations: Declarations = { ...text, COUNT: { schema: { type: "integer" } } };
    expect(refused(declarations, { NAME: 1, COUNT: "1", OTHER: "x" })).toEqual([
      "variables.NAME",
      "variables.COUNT",
      "variables.OTHER",
    ]);
  });

  test("named like something every object has are undeclared", () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"]) {
      const given = JSON.parse(`{${JSON.stringify(name)}: "x"}`);
      expect(refused(text, given)).toEqual([`variables.${name}`]);
      expect(({} as { x?: unknown }).x).toBeUndefined();
    }
    expect(Object.getPrototypeOf(resolveVariables(text, { NAME: "x" }).values)).toBe(Object.prototype);
  });

  test("pass or fail by type, bound, choice and length", () => {
    expect(passes({ type: "string" }, 1)).toBe(false);
    expect(passes({ type: "boolean" }, "true")).toBe(false);
    expect(passes({ type: "boolean" }, true)).toBe(true);
    expect(passes({ type: "integer" }, 1.5)).toBe(false);
    expect(passes({ type: "number", minimum: 0, maximum: 1 }, 0.5)).toBe(true);
    expect(passes({ type: "number", minimum: 0, maximum: 1 }, 1.01)).toBe(false);
    expect(passes({ type: "number" }, Number.NaN)).toBe(false);
    expect(passes({ type: "number" }, Number.POSITIVE_INFINITY)).toBe(false);
    expect(passes({ type: "string", enum: ["a", "b"] }, "c")).toBe(false);
    expect(passes({ type: "string", minLength: 2 }, "😀")).toBe(false);
    expect(passes({ type: "string", maxLength: 1 }, "😀")).toBe(true);
    for (const value of [null, [], {}, undefined, () => 1]) expect(passes({ type: "string" }, value)).toBe(false);
  });

  test("with a pattern match it anywhere unless it is anchored, in Unicode mode", () => {
    expect(passes({ type: "string", pattern: "^[A-Z]{2}-\\d+$" }, "AB-12")).toBe(true);
    expect(passes({ type: "string", pattern: "^[A-Z]{2}-\\d+$" }, "AB-12\n")).toBe(false);
    expect(passes({ type: "string", pattern: "b" }, "abc")).toBe(true);
    expect(passes({ type: "string", pattern: "^\\p{L}$" }, "é")).toBe(true);
    expect(passes({ type: "string", pattern: "^.$" }, "😀")).toBe(true);
  });

  test("whose pattern would never end on a value are refused", () => {
    const hostile = `${"a".repeat(40)}!`;
    for (const pattern of [
      "^(a+)+$",
      "^(a|aa)+$",
      "^(a?){40}a{40}$",
      "(\\w+\\s?)*$x",
      `^${"a?".repeat(32)}${"a".repeat(32)}$`,
    ]) {
      expect(passes({ type: "string", pattern }, hostile)).toBe(false);
    }
  });

  test("of the format locale are language tags", () => {
    const locale: VariableSchema = { type: "string", format: "locale" };
    for (const tag of ["en", "de-CH", "zh-Hant-TW", "en-us"]) expect(passes(locale, tag)).toBe(true);
    for (const tag of ["english please", "e", "en_US", "../etc", "en-", "en,de"])
      expect(passes(locale, tag)).toBe(false);
  });

  test("hold at most 32,768 characters", () => {
    expect(passes({ type: "string" }, "a".repeat(32_768))).toBe(true);
    expect(passes({ type: "string" }, "a".repeat(32_769))).toBe(false);
  });

  test("hold no control characters but line feed and tab, and no half of a surrogate pair", () => {
    expect(passes({ type: "string" }, "a\n\tb")).toBe(true);
    for (const character of ["\u0000", "\r", "\u001b", "\u007f", "\u0085", "\ud800", "\udc00"]) {
      expect(passes({ type: "string" }, `a${character}b`)).toBe(false);
    }
  });

  test("are either refused as such or come back unchanged, whatever is sent", () => {
    const declarations: Declarations = {
      A: { schema: { type: "string" } },
      B: { schema: { type: "number" } },
      C: { schema: { type: "boolean" } },
    };
    const name = fc.oneof(fc.constantFrom("A", "B", "C", "__proto__", "constructor"), fc.string());
    fc.assert(
      fc.property(fc.dictionary(name, fc.jsonValue({ maxDepth: 1 })), (given) => {
        if (refused(declarations, given).length > 0) return;
        for (const [key, value] of Object.entries(resolveVariables(declarations, given).values)) {
          expect(Object.hasOwn(declarations, key)).toBe(true);
          expect(value).toBe(given[key]);
        }
      }),
    );
  });

  test("that the wire's schema lets through are checked without a surprise", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.double(), fc.boolean())), (given) => {
        const parsed = givenVariables.safeParse(given);
        if (parsed.success) refused(text, parsed.data);
      }),
    );
  });
});

describe("declarations", () => {
  const paths = (declarations: Declarations) => declarationProblems(declarations).map(({ path }) => path);

  test("that make sense have no problems", () => {
    expect(
      paths(declare({ type: "string", pattern: "^[a-z]+$", minLength: 1, maxLength: 5 }, { default: "abc" })),
    ).toEqual([]);
  });

  test("have patterns that compile and are short", () => {
    expect(paths(declare({ type: "string", pattern: "(" }))).toEqual(["variables.NAME.schema.pattern"]);
    expect(paths(declare({ type: "string", pattern: "\\d{2,1}" }))).toEqual(["variables.NAME.schema.pattern"]);
    expect(paths(declare({ type: "string", pattern: "a".repeat(201) }))).toEqual(["variables.NAME.schema.pattern"]);
    expect(paths(declare({ type: "string", pattern: "a?".repeat(33) }))).toEqual(["variables.NAME.schema.pattern"]);
  });

  test("have bounds in order", () => {
    expect(paths(declare({ type: "string", minLength: 5, maxLength: 1 }))).toEqual(["variables.NAME.schema.minLength"]);
    expect(paths(declare({ type: "number", minimum: 5, maximum: 1 }))).toEqual(["variables.NAME.schema.minimum"]);
  });

  test("have defaults that they would accept", () => {
    expect(paths(declare({ type: "string", enum: ["a"] }, { default: "b" }))).toEqual(["variables.NAME.default"]);
    expect(paths(declare({ type: "boolean" }, { default: "true" }))).toEqual(["variables.NAME.default"]);
    expect(paths(declare({ type: "string", pattern: "^(a+)+$" }, { default: `${"a".repeat(40)}!` }))).toEqual([
      "variables.NAME.default",
    ]);
  });
});
