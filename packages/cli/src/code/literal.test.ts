// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these texts are meant as they are
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { comment, literal, propertyName, quoted } from "./literal.ts";

/** What the source is when it runs. */
const run = (source: string): unknown => new Function(`return (${source});`)();

const hostile = fc.string({
  unit: fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        ..."`$\\\"'{}/*\n\r\t\u2028\u2029\u0000\u001b\u202e\u200d\ufeff\ud800\udc00",
        "${",
        "*/",
        "👩‍👩‍👧",
        "\\u{",
        "\r\n",
      ),
    },
    { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
  ),
});

describe("a literal", () => {
  test("is its value, whatever is in it", () => {
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { depthSize: "small" },
        hostile,
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.dictionary(fc.oneof(hostile, fc.constantFrom("a", "__proto__", "constructor", "a-b", "1")), tie("tree"), {
          maxKeys: 4,
          noNullPrototype: true,
        }),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        const source = literal(value);
        expect(run(source)).toEqual(value);
        expect(literal(run(source))).toBe(source);
      }),
      { numRuns: 1000 },
    );
  });

  test("shows what could not be seen as an escape", () => {
    expect(literal("a\u202eb\tc\u0000")).toBe('"a\\u{202e}b\\tc\\u{0}"');
  });

  test("keeps the lines of a text, and is written on one line where there is room", () => {
    expect(literal({ a: "One\n`Two` ${X}", b: [1, { c: true }] })).toBe(
      "{\n  a: `One\n\\`Two\\` \\${X}`,\n  b: [1, { c: true }],\n}",
    );
    expect(literal(["x".repeat(100)])).toBe(`[\n  "${"x".repeat(100)}",\n]`);
  });
});

test("a text in quotes is one line", () => {
  fc.assert(fc.property(hostile, (text) => !/[\n\r\u2028\u2029]/.test(quoted(text)) && run(quoted(text)) === text));
});

test("a property's name is quoted unless it is an identifier", () => {
  expect(["a", "$b_1", "a-b", "1", "", "ü", "a\nb"].map(propertyName)).toEqual([
    "a",
    "$b_1",
    '"a-b"',
    '"1"',
    '""',
    '"ü"',
    '"a\\nb"',
  ]);
});

test("a comment ends where it is meant to", () => {
  fc.assert(
    fc.property(fc.oneof(hostile, fc.constantFrom("*/ throw 1; /*", "*\u200b/ throw 1; /*")), (text) => {
      expect(run(`${comment(text)} 7`)).toBe(7);
    }),
    { numRuns: 500 },
  );
  expect(comment("One\nTwo", "  ")).toBe("  /**\n   * One\n   * Two\n   */\n");
  expect(comment("")).toBe("");
});
