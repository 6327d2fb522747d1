/** `docs/errors.md` has a paragraph for each code of the catalogues, and for no other. */
import { errorCatalogue, runErrorCatalogue } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { read, section } from "./pages.ts";

const page = read("docs/errors.md");

/** Code → its paragraph, in the order of the page. */
function paragraphs(title: string): Map<string, string> {
  const parts = section(page, title).split(/^### /m).slice(1);
  return new Map(
    parts.map((part) => {
      const [code = "", ...text] = part.split("\n");
      return [code.trim(), text.join("\n").trim()];
    }),
  );
}

const retry = (retryable: boolean, first: boolean): string => {
  const words = retryable ? "retryable." : "not retryable.";
  return first ? (words[0] as string).toUpperCase() + words.slice(1) : words;
};

describe("refused requests", () => {
  const found = paragraphs("Refused requests");

  test("are the catalogue, in its order", () => {
    expect([...found.keys()]).toEqual(Object.keys(errorCatalogue));
  });

  test.each(Object.entries(errorCatalogue))("%s begins with its status and whether to retry", (code, entry) => {
    expect(found.get(code)).toMatch(new RegExp(`^${entry.status}, ${retry(entry.retryable, false)} \\w`));
  });
});

describe("ends of runs", () => {
  const found = paragraphs("Ends of runs");

  test("are the catalogue, in its order", () => {
    expect([...found.keys()]).toEqual(Object.keys(runErrorCatalogue));
  });

  test.each(Object.entries(runErrorCatalogue))("%s begins with whether to retry", (code, entry) => {
    expect(found.get(code)).toMatch(new RegExp(`^${retry(entry.retryable, true)} \\w`));
  });
});
