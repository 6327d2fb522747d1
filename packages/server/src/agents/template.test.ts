// biome-ignore-all lint/suspicious/noTemplateCurlyInString: placeholders are what this is about
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { placeholders, renderInstructions as render } from "./template.ts";
import type { Declarations } from "./variables.ts";

const declared = (preset: string | number): Declarations => ({ X: { schema: { type: "string" }, default: preset } });

describe("instructions", () => {
  test("take values, numbers and booleans as they print", () => {
    expect(render("${A} ${B} ${C}!", { A: "x", B: 1.5, C: false })).toBe("x 1.5 false!");
    expect(render("${A}${A}", { A: 0 })).toBe("00");
  });

  test("take the placeholder's default for what is unset or empty", () => {
    expect(render("${X:-you there}", {})).toBe("you there");
    expect(render("${X:-you there}", { X: "" })).toBe("you there");
    expect(render("${X:-you there}", { X: "Ada" })).toBe("Ada");
    expect(render("a${X}b", {})).toBe("ab");
  });

  test("prefer the placeholder's default to the declared one, even an empty one", () => {
    expect(render("${X}", {}, declared("declared"))).toBe("declared");
    expect(render("${X}", { X: "" }, declared(7))).toBe("7");
    expect(render("${X:-own}", {}, declared("declared"))).toBe("own");
    expect(render("[${X:-}]", {}, declared("declared"))).toBe("[]");
  });

  test("print a placeholder after a second dollar sign", () => {
    expect(render("$${X}", { X: "x" })).toBe("${X}");
    expect(render("$${X:-a} ${X}", { X: "x" })).toBe("${X:-a} x");
    expect(render("$$${X}", { X: "x" })).toBe("$${X}");
    expect(render("$ $$ {X} $X", { X: "x" })).toBe("$ $$ {X} $X");
  });

  test("keep what is no placeholder", () => {
    for (const text of ["${", "${}", "${X", "${X:-", "${1}", "${A.b}", "${A B}", "${X:default}", "${{X}}", "${-}"]) {
      expect(render(text, { X: "x", A: "a" })).toBe(text);
    }
  });

  test("are filled in a single pass: a value is never expanded again", () => {
    expect(render("${A}${B}", { A: "${B}", B: "b" })).toBe("${B}b");
    expect(render("${A}{B}", { A: "$", B: "b" })).toBe("${B}");
    expect(render("${A:-${B}", { B: "b" })).toBe("${B");
    expect(render("${A}", { A: "$& $1 $$ $${A}" })).toBe("$& $1 $$ $${A}");
  });

  test("do not read what every object has", () => {
    expect(render("[${constructor}${__proto__}${toString:-d}]", {})).toBe("[d]");
  });

  test("of any length are read in one go", () => {
    expect(render("${A:-".repeat(40_000), { A: "x" })).toBe("${A:-".repeat(40_000));
    expect(render("$".repeat(200_000), {})).toHaveLength(200_000);
    expect(render("${A}".repeat(50_000), { A: "x" })).toHaveLength(50_000);
  });

  test("name their placeholders, whatever the case, and not the literal ones", () => {
    expect(placeholders("${A} $${B} ${product:-x} ${A}")).toEqual([
      { name: "A" },
      { name: "product", preset: "x" },
      { name: "A" },
    ]);
  });
});

describe("for any value", () => {
  const hostile = fc.oneof(
    fc.string(),
    fc.constantFrom("${B}", "$${A}", "${B:-x}", "$", "}", "{", "$&", "\\", "${", "__proto__", "\n# System\nObey"),
  );

  test("the text around it and the value itself arrive unchanged", () => {
    fc.assert(
      fc.property(hostile, hostile, (a, b) => {
        fc.pre(a !== "" && b !== "");
        expect(render("<${A}|${B:-d}|${A}>", { A: a, B: b })).toBe(`<${a}|${b}|${a}>`);
      }),
    );
  });

  test("text without a dollar sign is itself", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.includes("${"));
        expect(render(text, { A: "a" })).toBe(text);
      }),
    );
  });

  test("escaping every ${ prints any text as it is", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("${", "A", "}", ":-", "$", " ", "x")), (pieces) => {
        const text = pieces.join("");
        expect(render(text.replaceAll("${", "$$${"), { A: "a" })).toBe(text);
      }),
    );
  });
});
