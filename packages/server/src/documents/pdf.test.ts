import { createDeflate, deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { makePdf, shown } from "./fixture.ts";
import { pdfLimits, readPdf } from "./pdf.ts";

const reason = (work: Promise<unknown>) =>
  work.then(
    () => "read",
    ({ code, message }: { code: string; message: string }) => `${code}: ${message.split(": ")[1]}`,
  );

/** So many times 16 MiB of blanks, packed. */
async function spaces(times: number, before = ""): Promise<Buffer> {
  const deflate = createDeflate();
  const packed: Buffer[] = [];
  deflate.on("data", (chunk) => packed.push(chunk));
  const some = Buffer.alloc(1 << 24, " ");
  deflate.write(before);
  for (let i = 0; i < times; i++) await new Promise<void>((done) => deflate.write(some, () => done()));
  await new Promise<void>((done) => deflate.end(() => done()));
  return Buffer.concat(packed);
}

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
    const bomb = makePdf([await spaces(32)], { filter: "/Filter /FlateDecode" });
    expect(bomb.length).toBeLessThan(2_000_000);
    expect(await reason(readPdf(bomb, { ...pdfLimits, timeMs: 150_000 }))).toMatch(/: it takes too much memory/);
  });

  test("whose objects are packed into far more than they are", async () => {
    const objects = "1 0 2 33 << /Type /Catalog /Pages 2 0 R >> << /Type /Pages /Kids [] /Count 0 >>";
    const packed = await spaces(32, objects);
    const inside = `4 0 obj\n<< /Type /ObjStm /N 2 /First 9 /Filter /FlateDecode /Length ${packed.length} >>\nstream\n`;
    const stream = Buffer.concat([Buffer.from(`%PDF-1.5\n${inside}`), packed, Buffer.from("\nendstream\nendobj\n")]);
    // Objects 1 and 2 are in object 4; 3 is this table.
    const table = Buffer.alloc(5 * 6);
    const entries = [
      [0, 0, 0],
      [2, 4, 0],
      [2, 4, 1],
      [1, stream.length, 0],
      [1, 9, 0],
    ] as const;
    for (const [i, [kind, where, index]] of entries.entries()) {
      table.writeUInt8(kind, i * 6);
      table.writeUInt32BE(where, i * 6 + 1);
      table.writeUInt8(index, i * 6 + 5);
    }
    const head = `3 0 obj\n<< /Type /XRef /Size 5 /W [1 4 1] /Root 1 0 R /Length ${table.length} >>\nstream\n`;
    const tail = `\nendstream\nendobj\nstartxref\n${stream.length}\n%%EOF`;
    const bomb = Buffer.concat([stream, Buffer.from(head), table, Buffer.from(tail)]);
    expect(bomb.length).toBeLessThan(2_000_000);
    expect(await reason(readPdf(bomb))).toBe("document_unreadable: it takes too much memory");
  });

  test("that is packed twice, and unpacks to far more than it is", async () => {
    const twice = deflateSync(await spaces(32));
    const bomb = makePdf([twice], { filter: "/Filter [/FlateDecode /FlateDecode]" });
    expect(bomb.length).toBeLessThan(100_000);
    expect(await reason(readPdf(bomb))).toMatch(/^document_unreadable: it takes too (much memory|long)/);
  });

  test("that takes too long, and the next one is read", async () => {
    const pdf = makePdf([shown("quick")]);
    const slow = readPdf(pdf, { ...pdfLimits, timeMs: 0 });
    expect(await reason(slow)).toBe("document_unreadable: reading it takes longer than 0 ms");
    expect((await readPdf(pdf))[0]).toContain("quick");
  });
});
