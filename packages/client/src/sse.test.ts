import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSseParser, type SseItem } from "./sse.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (...pieces: (string | Uint8Array)[]): SseItem[] => {
  const parser = createSseParser();
  return pieces.flatMap((piece) => parser.push(typeof piece === "string" ? bytes(piece) : piece));
};
const item = (data: string, id?: string, event?: string) => ({ data, id, event });

describe("a frame", () => {
  test("carries its id, type and data", () => {
    expect(parse("id: 7\nevent: run.started\ndata: {}\n\n")).toEqual([item("{}", "7", "run.started")]);
  });

  test("joins its data lines and drops one space only", () => {
    expect(parse("data:a\ndata:  b\ndata\n\n")).toEqual([item("a\n b\n")]);
  });

  test("without data does not come out, and leaves nothing to the next one", () => {
    expect(parse("id: 1\nevent: x\n\ndata: y\n\n")).toEqual([item("y")]);
  });

  test("that the end cuts off does not come out", () => {
    expect(parse("data: whole\n\nid: 2\ndata: half")).toEqual([item("whole")]);
  });
});

test("comments complete nothing and disturb nothing", () => {
  expect(parse(": heartbeat\n\n")).toEqual([]);
  expect(parse("id: 1\n: heartbeat\ndata: a\n\n")).toEqual([item("a", "1")]);
});

test("retry is read when it is a whole number", () => {
  expect(parse("retry: 1500\nretry: soon\n\n")).toEqual([{ retryMs: 1500 }]);
});

test("a byte order mark at the start is skipped", () => {
  expect(parse("\ufeffdata: a\n\n")).toEqual([item("a")]);
});

test("lines end in CR, LF or both, also when a piece ends between them", () => {
  for (const end of ["\n", "\r", "\r\n"]) {
    expect(parse(`id: 1${end}data: a${end}${end}data: b${end}${end}`)).toEqual([item("a", "1"), item("b")]);
  }
  expect(parse("data: a\r", "\n\r", "\ndata: b\r\n", "\r\n")).toEqual([item("a"), item("b")]);
});

test("the pieces in which the bytes arrive make no difference", () => {
  const text = fc.string({ unit: "binary" }).map((value) => JSON.stringify(value));
  const line = fc.constantFrom("\n", "\r\n", "\r");
  const frames = fc.array(fc.tuple(fc.nat(), text, line, fc.boolean()), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(frames, fc.infiniteStream(fc.integer({ min: 1, max: 9 })), (parts, sizes) => {
      const expected = parts.map(([id, data]) => item(data, String(id), "x"));
      const all = bytes(
        parts
          .map(([id, data, end, beat]) => {
            const lines = [...(beat ? [": beat", ""] : []), `id: ${id}`, "event: x", `data: ${data}`, "", ""];
            return lines.join(end);
          })
          .join(""),
      );
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < all.length; ) {
        const size = sizes.next().value as number;
        pieces.push(all.slice(at, at + size));
        at += size;
      }
      expect(parse(...pieces)).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});
