import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_PASSAGE, toPassages } from "./passages.ts";

const words = fc.string({
  unit: fc.constantFrom("word", " ", "\n", "\n\n", ". ", "# ", "😀", "é", "x".repeat(300), "\n## "),
  maxLength: 400,
});

test("passages follow each other without a gap, are bounded, and cut no character", () => {
  fc.assert(
    fc.property(words, (text) => {
      const passages = toPassages(text);
      expect(passages.map((passage) => passage.text).join("")).toBe(text);
      let at = 0;
      for (const [i, { number, start, end, text: part }] of passages.entries()) {
        expect([number, start, end - start]).toEqual([i + 1, at, part.length]);
        expect(part.length).toBeGreaterThan(0);
        expect(part.length).toBeLessThanOrEqual(MAX_PASSAGE);
        expect(part.isWellFormed()).toBe(true);
        at = end;
      }
      expect(at).toBe(text.length);
    }),
    { numRuns: 300 },
  );
});

describe("a passage ends", () => {
  const filler = (length: number) =>
    "Some words here. "
      .repeat(Math.ceil(length / 17))
      .slice(0, length - 1)
      .trimEnd();

  test("before a heading, once it has some length", () => {
    const text = `# One\n\n${filler(500)}\n\n## Two\n\n${filler(500)}\n\n## Three\n\nshort`;
    expect(toPassages(text).map((passage) => passage.text.split("\n")[0])).toEqual(["# One", "## Two", "## Three"]);
  });

  test("after a paragraph, where the next one does not fit", () => {
    const [first] = toPassages(`${filler(900)}\n\n${filler(900)}`);
    expect(first?.text.endsWith("\n\n")).toBe(true);
  });

  test("after a sentence, where there is no better place", () => {
    const [first] = toPassages("A sentence that ends. ".repeat(200));
    expect(first?.text.endsWith("ends. ")).toBe(true);
  });

  test("anywhere, where there is no place at all", () => {
    expect(toPassages("x".repeat(MAX_PASSAGE + 1)).map(({ text }) => text.length)).toEqual([MAX_PASSAGE, 1]);
  });
});
