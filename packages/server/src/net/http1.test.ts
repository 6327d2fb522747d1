import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HttpSyntaxError, ResponseParser } from "./http1.ts";

/** Feeds the pieces; a thrown HttpSyntaxError is part of the result. */
function parse(pieces: Buffer[], closed = false) {
  const seen = {
    heads: [] as number[],
    type: undefined as string | undefined,
    body: "",
    error: false,
    whole: false,
    keepAlive: false,
  };
  const body: Buffer[] = [];
  const parser = new ResponseParser({
    onHead: (head) => {
      seen.heads.push(head.status);
      seen.type = head.header("content-type");
    },
    onBody: (slice) => body.push(Buffer.from(slice)),
  });
  try {
    for (const piece of pieces) parser.push(piece);
    seen.whole = closed ? parser.close() : parser.done;
    seen.keepAlive = parser.keepAlive;
  } catch (error) {
    if (!(error instanceof HttpSyntaxError)) throw error;
    seen.error = true;
  }
  seen.body = Buffer.concat(body).toString("latin1");
  return seen;
}

const read = (text: string, closed = false) => parse([Buffer.from(text, "latin1")], closed);
const head = (...lines: string[]) => `${["HTTP/1.1 200 OK", ...lines].join("\r\n")}\r\n\r\n`;
const chunked = head("Transfer-Encoding: chunked");

describe("ResponseParser", () => {
  test("reads a body of known length", () => {
    expect(read(`${head("Content-Length: 5", "Content-Type:  text/plain ")}hello`)).toEqual({
      heads: [200],
      type: "text/plain",
      body: "hello",
      error: false,
      whole: true,
      keepAlive: true,
    });
    expect(read(`${head("Content-Length: 5")}hel`)).toMatchObject({ body: "hel", whole: false });
    expect(read(head("Content-Length: 0"))).toMatchObject({ body: "", whole: true, keepAlive: true });
  });

  test("reads a body in chunks, with extensions and a trailer", () => {
    const text = `${chunked}5\r\nhello\r\nA;name="x y"\r\n, world!!!\r\n0\r\nX-Check: 1\r\n\r\n`;
    expect(read(text)).toMatchObject({ body: "hello, world!!!", whole: true, keepAlive: true });
    expect(read(text.slice(0, -2))).toMatchObject({ whole: false });
  });

  test("reads a body that ends with the connection", () => {
    expect(read(`${head()}hello`)).toMatchObject({ body: "hello", whole: false });
    expect(read(`${head()}hello`, true)).toMatchObject({ body: "hello", whole: true, keepAlive: false });
    expect(read(`${head("Content-Length: 9")}hello`, true)).toMatchObject({ whole: false });
    expect(read("", true)).toMatchObject({ whole: false });
  });

  test("passes over interim answers", () => {
    const text = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${head("Content-Length: 2")}ok`;
    expect(read(text)).toMatchObject({ heads: [200], body: "ok", whole: true });
  });

  test.each(["204 No Content", "304 Not Modified"])("%s has no body", (status) => {
    expect(read(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\n`)).toMatchObject({ whole: true, body: "" });
  });

  test.each([
    ["asked to", `${head("Connection: keep-alive, Close", "Content-Length: 2")}ok`],
    ["of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    ["two lengths compete", `${head("Content-Length: 99", "Transfer-Encoding: chunked")}2\r\nok\r\n0\r\n\r\n`],
    ["something follows", `${head("Content-Length: 2")}okHTTP/1.1 200 OK\r\n`],
  ])("the connection is not used again when %s", (_why, text) => {
    expect(read(text)).toMatchObject({ body: "ok", whole: true, keepAlive: false });
  });

  test.each([
    ["another protocol", "SSH-2.0-OpenSSH_9\r\n\r\n"],
    ["another version", "HTTP/2 200 OK\r\n\r\n"],
    ["a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ["a status that is none", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["a folded line", head("A: b", " c")],
    ["a space before the colon", head("Content-Length : 5")],
    ["a line without a colon", head("what")],
    ["a bare line feed in a header", head("A: b\nContent-Length: 5")],
    ["a null in a header", head("A: \0")],
    ["two different lengths", head("Content-Length: 5", "Content-Length: 6")],
    ["a negative length", head("Content-Length: -1")],
    ["a length in hexadecimal", head("Content-Length: 0x5")],
    ["an unknown coding", head("Transfer-Encoding: gzip, chunked")],
    ["a chunk size that is none", `${chunked}xyz\r\n`],
    ["an empty chunk size", `${chunked}\r\n`],
    ["a signed chunk size", `${chunked}+5\r\nhello\r\n`],
    ["a chunk size beyond all bounds", `${chunked}fffffffff\r\n`],
    ["a chunk longer than its size", `${chunked}2\r\nhello\r\n`],
    ["a bare line feed after a size", `${chunked}5\nhello\r\n`],
    ["a head without end", head(`A: ${"x".repeat(70_000)}`)],
    ["a size line without end", `${chunked}1;${"x".repeat(5000)}`],
    ["a trailer without end", `${chunked}0\r\n${"A: b\r\n".repeat(20_000)}`],
  ])("%s is an error", (_what, text) => {
    expect(read(text)).toMatchObject({ error: true });
  });

  test("the same lengths twice are one", () => {
    expect(read(`${head("Content-Length: 2", "content-length: 2")}ok`)).toMatchObject({ body: "ok", whole: true });
  });

  test("however the bytes are split, the answer is the same", () => {
    const body = fc.string({ unit: "binary-ascii", maxLength: 40 });
    const answer = fc.oneof(
      body.map((text) => `${head(`Content-Length: ${text.length}`)}${text}`),
      fc
        .array(
          body.filter((text) => text !== ""),
          { maxLength: 6 },
        )
        .map(
          (parts) => `${chunked}${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`,
        ),
      body.map((text) => `HTTP/1.1 100 Continue\r\n\r\n${head()}${text}`),
      body.map((text) => `${chunked}${text}`),
    );
    fc.assert(
      fc.property(answer, fc.array(fc.nat({ max: 300 }), { maxLength: 8 }), fc.boolean(), (text, cuts, closed) => {
        const bytes = Buffer.from(text, "latin1");
        const ends = [...new Set([...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
        const whole = parse([bytes], closed);
        expect(parse(pieces, closed)).toEqual(whole);
        expect(
          parse(
            [...bytes].map((byte) => Buffer.from([byte])),
            closed,
          ),
        ).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});
