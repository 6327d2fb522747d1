import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SseParser } from "./sse.ts";

type Seen = { data: string; event: string };

function parse(chunks: Buffer[]): Seen[] {
  const seen: Seen[] = [];
  const parser = new SseParser((data, event) => seen.push({ data, event }));
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return seen;
}

const data = (text: string) => parse([Buffer.from(text)]).map((event) => event.data);

describe("SseParser", () => {
  test("reads data, with or without the space after the colon", () => {
    expect(data("data: one\n\ndata:two\n\ndata:  three\n\n")).toEqual(["one", "two", " three"]);
  });

  test("joins several data lines with a line break", () => {
    expect(data("data: a\ndata:\ndata: b\n\n")).toEqual(["a\n\nb"]);
    expect(data("data\ndata\n\n")).toEqual(["\n"]);
  });

  test("accepts CRLF and mixed line ends", () => {
    expect(data("data: a\r\ndata: b\n\r\ndata: c\r\n\r\n")).toEqual(["a\nb", "c"]);
  });

  test("gives the event's name, and forgets it after the event", () => {
    expect(parse([Buffer.from("event: ping\ndata: 1\n\ndata: 2\n\n")])).toEqual([
      { data: "1", event: "ping" },
      { data: "2", event: "" },
    ]);
  });

  test("skips comments, unknown fields and events without data", () => {
    expect(data(": keep-alive\n\nid: 7\nretry: 10\ndatax: no\nevent: ping\n\ndata: yes\n\n")).toEqual(["yes"]);
  });

  test("skips a byte order mark", () => {
    expect(data("\ufeffdata: first\n\n")).toEqual(["first"]);
  });

  test("an event without its empty line counts at the end, a line without its break does not", () => {
    expect(data("data: whole\n")).toEqual(["whole"]);
    expect(data("data: whole\ndata: hal")).toEqual(["whole"]);
    expect(data("data: hal")).toEqual([]);
  });

  test("invalid UTF-8 becomes replacement characters and nothing else", () => {
    expect(parse([Buffer.from([...Buffer.from("data: a"), 0xff, ...Buffer.from("b\n\n")])])[0]?.data).toBe("a\ufffdb");
  });

  test("S1: the same bytes give the same events however they are split", () => {
    const line = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }).map((text) => `data: ${text.replaceAll(/[\r\n]/g, "")}`),
      fc.constantFrom("event: ping", ": comment", "data", "data:", "id: 3", "", "größe: 🎉", "data: 🎉é漢"),
    );
    const body = fc
      .array(fc.tuple(line, fc.constantFrom("\n", "\r\n")), { maxLength: 30 })
      .map((lines) => Buffer.from(lines.flat().join("")));
    fc.assert(
      fc.property(body, fc.array(fc.nat({ max: 400 }), { maxLength: 20 }), (bytes, cuts) => {
        const ends = [...new Set([...cuts.filter((cut) => cut < bytes.length), bytes.length])].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
        const whole = parse([bytes]);
        expect(parse(pieces)).toEqual(whole);
        expect(parse([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});
