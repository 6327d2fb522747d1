import type { StandardSchema } from "@callboard/kit";
import { describe, expect, test } from "vitest";
import { foreignSchema, readable } from "./schema.ts";

const check = async (schema: StandardSchema, value: unknown) => {
  try {
    return (await schema["~standard"].validate(value)).issues?.map(({ message }) => message) ?? "fits";
  } catch (error) {
    return (error as Error).message;
  }
};
const object = (properties: object, more: object = {}) => ({ type: "object", properties, ...more });
/** JSON text, for keys that an object literal cannot have. */
const parsed = (text: string) => JSON.parse(text) as unknown;

/** Each name stands for two of the next: so many steps that nobody waits for the last. */
function doubling(levels: number, word: "allOf" | "anyOf"): object {
  const $defs: Record<string, object> = { [`d${levels}`]: { type: word === "allOf" ? "string" : "number" } };
  for (let i = 0; i < levels; i++) {
    const next = { $ref: `#/$defs/d${i + 1}` };
    $defs[`d${i}`] = { [word]: [next, next] };
  }
  return object({ a: { $ref: "#/$defs/d0" } }, { $defs });
}

describe("a foreign schema of answers", () => {
  test("may be of anything, and says so in its refusals", async () => {
    const { schema } = foreignSchema({ type: "array", items: { type: "number" } }, "output");
    expect(await check(schema, [1, 2])).toBe("fits");
    expect(await check(schema, [1, "2"])).toEqual(["must be number"]);
    expect(() => foreignSchema({ $ref: "https://example.com/schema.json" }, "output")).toThrow(/^its output schema /);
    const slow = foreignSchema(doubling(60, "anyOf"), "output").schema;
    expect(await check(slow, { a: "x" })).toBe("checking the answer takes too long");
  });
});

describe("a foreign schema", () => {
  test("checks inputs, and is shown as it is", async () => {
    const given = object({ id: { type: "string", minLength: 1 }, n: { enum: [1, 2] } }, { required: ["id"] });
    const { shown, schema } = foreignSchema({ $schema: "https://json-schema.org/draft/2020-12/schema", ...given });
    expect(shown).toEqual(given);
    expect(await check(schema, { id: "a", n: 2 })).toBe("fits");
    expect(await check(schema, { id: "" })).not.toBe("fits");
    expect(await check(schema, {})).toEqual(["must have required property 'id'"]);
    expect(await check(schema, "x")).not.toBe("fits");
  });

  test("of an older draft is read as such", async () => {
    const given = object({ pair: { type: "array", items: [{ type: "string" }, { type: "number" }] } });
    const { schema } = foreignSchema({ $schema: "http://json-schema.org/draft-07/schema#", ...given });
    expect(await check(schema, { pair: ["a", 1] })).toBe("fits");
    expect(await check(schema, { pair: [1, "a"] })).not.toBe("fits");
  });

  test.each([
    ["no schema", undefined],
    ["another type", { type: "string" }],
    ["a list", []],
    ["no type", {}],
    ["nothing that compiles", object({ a: { type: "nonsense" } })],
    ["an address to fetch", object({ a: { $ref: "https://example.com/schema.json" } })],
    ["a name of its own", object({ a: { $id: "https://json-schema.org/draft/2020-12/schema" } })],
    ["code that waits", { ...object({}), $async: true }],
    ["a prototype", parsed('{"type":"object","properties":{"__proto__":{"type":"string"}}}')],
    ["too many levels", Array.from({ length: 40 }).reduce((inner: object) => object({ a: inner }), object({}))],
    ["too many bytes", object({ a: { type: "string", description: "x".repeat(40_000) } })],
  ])("that has %s cannot be used", (_, given) => {
    expect(() => foreignSchema(given)).toThrow(/^its input schema /);
  });

  test("that would take for ever is stopped, and said to be so", async () => {
    const { schema } = foreignSchema(doubling(50, "anyOf"));
    for (let i = 0; i < 3; i++) expect(await check(schema, { a: "x" })).toBe("checking the arguments takes too long");
    expect(await check(schema, { a: "x" })).toBe("the arguments cannot be checked"); // not tried again
    const listedAgain = foreignSchema(doubling(50, "anyOf")).schema;
    expect(await check(listedAgain, { a: "x" })).toBe("the arguments cannot be checked");
    const unique = foreignSchema(object({ a: { type: "array", uniqueItems: true } })).schema;
    const items = Array.from({ length: 60_000 }, (_, i) => ({ i }));
    expect(await check(unique, { a: items })).toBe("checking the arguments takes too long");
    expect(await check(unique, { a: [1, 2] })).toBe("fits"); // the next check has its own time
  });

  test("does not run its patterns here", async () => {
    const { schema, shown } = foreignSchema(object({ a: { type: "string", pattern: "^(a+)+$" } }));
    expect(await check(schema, { a: `${"a".repeat(100)}!` })).toBe("fits");
    expect(shown).toMatchObject({ properties: { a: { pattern: "^(a+)+$" } } }); // the model may follow them
  });

  test("cannot reach prototypes through an input", async () => {
    const { schema } = foreignSchema(object({}, { additionalProperties: { type: "object" } }));
    await check(schema, parsed('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'));
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("loses what people cannot see in its descriptions", () => {
    const hidden = "Reads.\u{e0049}\u{e0067}\u200b\u202e\u0007 Done.\n";
    expect(readable(hidden)).toBe("Reads. Done.\n");
    const { shown } = foreignSchema(object({ a: { type: "string", description: hidden } }));
    expect(shown).toMatchObject({ properties: { a: { description: "Reads. Done.\n" } } });
  });
});
