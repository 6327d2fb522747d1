import { createDeflate, deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { makePdf, shown } from "./fixture.ts";
import { pdfLimits, readPdf } from "./pdf.ts";

const reason = (work: Promise<unknown>) =>
  work.then(
    () => "read",
    ({ code, message }: { code: string; message: string }) => `${code}: ${message.split(": ")[1]}`,
  );

describe("a PDF is read", () => {
  test("page by page, line by line", async () => {
    const pdf = makePdf([shown("Refunds", "take ten days."), shown("Page two")]);
    expect((await readPdf(pdf)).map((page) => page.trim())).toEqual(["Refunds\ntake ten days.", "Page two"]);
  });

  test("also when its streams are packed", async () => {
    const pdf = makePdf([deflateSync(shown("Packed"))], { filter: "/Filter /FlateDecode" });
    expect((await readPdf(pdf))[0]).toContain("Packed");
  });

  test("several at once, each for itself", async () => {
    const pdfs = Array.from({ length: 6 }, (_, i) => readPdf(makePdf([shown(`number ${i}`)])));
    const texts = (await Promise.all(pdfs)).map(([page = ""]) => page.trim());
    expect(texts).toEqual([0, 1, 2, 3, 4, 5].map((i) => `number ${i}`));
  });
});

describe("a PDF is refused", () => {
  const encrypted =
    "/Encrypt << /Filter /Standard /V 1 /R 2 /O (01234567890123456789012345678901) " +
    "/U (01234567890123456789012345678901) /P -4 >> /ID [(0123456789012345) (0123456789012345)]";
  test.each([
    ["that is something else", Buffer.from("GIF89a not at all"), "it is not a PDF, or a damaged one"],
    ["that is empty", Buffer.alloc(0), "it is not a PDF, or a damaged one"],
    ["that is cut", makePdf([shown("Hello")]).subarray(0, 150), "it is not a PDF, or a damaged one"],
    [
      "that needs a password",
      makePdf([shown("secret")], { trailer: encrypted }),
      "it is encrypted; remove the password first",
    ],
    [
      "with more pages than are read",
      makePdf(Array.from({ length: pdfLimits.pages + 1 }, () => shown("x"))),
      `it has ${pdfLimits.pages + 1} pages; at most ${pdfLimits.pages} are read`,
    ],
  ])("%s", async (_, bytes, expected) => {
    expect(await reason(readPdf(bytes))).toBe(`document_unreadable: ${expected}`);
  });

  test("with more text than is read", async () => {
    const pdf = makePdf([shown("long ".repeat(40))]);
    const text = readPdf(pdf, { ...pdfLimits, chars: 100 });
    expect(await reason(text)).toBe("document_unreadable: its text is longer than 100 characters");
  });

  test("that unpacks to far more than it is", async () => {
    const deflate = createDeflate();
    const packed: Buffer[] = [];
    deflate.on("data", (chunk) => packed.push(chunk));
    const spaces = Buffer.alloc(1 << 24, " ");
    for (let i = 0; i < 64; i++) await new Promise<void>((done) => deflate.write(spaces, () => done()));
    await new Promise<void>((done) => deflate.end(() => done()));
    const bomb = makePdf([Buffer.concat(packed)], { filter: "/Filter /FlateDecode" });
    expect(bomb.length).toBeLessThan(2_000_000);
    expect(await reason(readPdf(bomb, { ...pdfLimits, timeMs: 150_000 }))).toMatch(/: it takes too much memory/);
  });

  test("that takes too long, and the next one is read", async () => {
    const pdf = makePdf([shown("quick")]);
    const slow = readPdf(pdf, { ...pdfLimits, timeMs: 0 });
    expect(await reason(slow)).toBe("document_unreadable: reading it takes longer than 0 ms");
    expect((await readPdf(pdf))[0]).toContain("quick");
  });
});
