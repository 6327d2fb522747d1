import { describe, expect, test } from "vitest";
import { makePdf } from "./fixture.ts";
import { readText, titleOf } from "./text.ts";

const read = (bytes: Uint8Array | string, name = "a.txt") =>
  readText({ name, mediaType: undefined, bytes: Buffer.from(bytes) });
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => "read",
    ({ code, message }: { code: string; message: string }) => `${code}: ${message.split(": ")[1]}`,
  );
const swapped = (text: string) => Buffer.from(text, "utf16le").swap16();

describe("a text", () => {
  test.each([
    ["in UTF-8", Buffer.from("Grüße 👋")],
    ["in UTF-8 with a byte order mark", Buffer.from("\ufeffGrüße 👋")],
    ["in UTF-16 of one order", Buffer.from("\ufeffGrüße 👋", "utf16le")],
    ["in UTF-16 of the other", swapped("\ufeffGrüße 👋")],
    ["with letters and marks apart", Buffer.from("Gru\u0308ße 👋")],
  ])("%s is the same text", async (_, bytes) => {
    expect((await read(bytes)).text).toBe("Grüße 👋");
  });

  test("has one kind of line ends, and nothing that steers a terminal or a database", async () => {
    const { text } = await read("a\r\nb\rc\fd\u0000e\u001b[2Jf\u0002g\th");
    expect(text).toBe("a\nb\nc\nde[2Jfg\th");
  });

  test.each([
    ["in an encoding that nobody named", Buffer.from([0x47, 0x72, 0xfc, 0xdf, 0x65])],
    ["of half characters", Buffer.from([0xff, 0xfe, 0x00, 0xd8])],
    ["that is cut in a character", Buffer.from([0xff, 0xfe, 0x41])],
  ])("%s is refused", async (_, bytes) => {
    const reason = "document_unreadable: it is not UTF-8, and not UTF-16 with a byte order mark";
    expect(await refusal(read(bytes))).toBe(reason);
  });

  test.each([
    ["blanks", " \n\t"],
    ["control characters", "\u0000\u0001"],
    ["a byte order mark", "\ufeff"],
  ])("of %s alone is none", async (_, text) => {
    expect(await refusal(read(text))).toMatch(/^document_unreadable: there is none in it/);
  });
});

test("a PDF of pictures has no text", async () => {
  const scan = makePdf(["q 600 0 0 800 0 0 cm BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q"]);
  expect(await refusal(read(scan, "scan.pdf"))).toBe(
    "document_unreadable: there is none in it; pictures of text are not read",
  );
});

describe("the title of a Markdown page", () => {
  const title = (text: string) => titleOf("the-name.md", { mediaType: "text/markdown", text, pages: null });

  test.each([
    ["is its first heading", "Intro.\n\n## Refunds ##\n\n# Later\n", "Refunds"],
    ["is that of its front matter", "---\ntags: [a]\ntitle: Card refunds\n---\n# Heading\n", "Card refunds"],
    ["may be quoted there", `---\ntitle: "Refunds: cards"\n---\n# Heading\n`, "Refunds: cards"],
    ["is no comment of the front matter", "---\n# a comment\nlang: en\n---\n\n# Heading\n", "Heading"],
    ["is nothing that would have to be computed", "---\ntitle: >-\n  Folded\n---\n# Heading\n", "Heading"],
    ["is no line of a program", "```sh\n# not this\n```\n\n# Heading\n", "Heading"],
    ["is the name where the front matter has no end", "---\ntitle: Open\n", "the-name"],
    ["is the name where there is none", "Only text.\n#hashtag\n", "the-name"],
  ])("%s", (_, text, expected) => {
    expect(title(text)).toBe(expected);
  });

  test("is at most 300 characters", () => {
    expect(title(`# ${"x".repeat(2000)}`)).toHaveLength(300);
  });
});
