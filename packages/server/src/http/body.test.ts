import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseJson, readBody } from "./body.ts";

/** A request that breaks off in its body; `read` is what becomes of the reading. */
function broken(readLate: boolean): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer((incoming) => {
      const read = () =>
        readBody(incoming, 1000).then(
          () => resolve("read"),
          (error) => resolve(`${error.code}: ${error.message}`),
        );
      if (readLate) incoming.once("close", () => setTimeout(read, 10));
      else void read();
      socket.destroy();
    });
    onTestFinished(() => void server.close());
    let socket: ReturnType<typeof connect>;
    server.listen(0, "127.0.0.1", () => {
      socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    });
  });
}

test("a body that breaks off while it is read is refused", async () => {
  expect(await broken(false)).toBe("bad_request: the body broke off");
});

test("and one whose client had left before anybody read it", async () => {
  expect(await broken(true)).toBe("bad_request: the body broke off");
});

const parse = (text: string) => parseJson(Buffer.from(text));
const nested = (levels: number, inner = "1") => "[".repeat(levels) + inner + "]".repeat(levels);

describe("a JSON body", () => {
  test("is what JSON.parse makes of it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        fc.pre(!JSON.stringify(value).includes("__proto__"));
        expect(parse(JSON.stringify(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("may be 200 levels deep and no deeper, however long", () => {
    expect(parse(nested(200))).toBeInstanceOf(Array);
    for (const text of [nested(201), '{"a":'.repeat(201) + "1" + "}".repeat(201), "[".repeat(1_000_000)]) {
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: "bad_json" }));
    }
    expect(parse(`[${Array(1000).fill("[]").join(",")}]`)).toHaveLength(1000);
  });

  test("may have brackets in its texts", () => {
    const text = `${"[{".repeat(500)}\\" \\`;
    expect(parse(JSON.stringify({ text }))).toEqual({ text });
    expect(parse(nested(200, JSON.stringify('\\"[[[')))).toBeInstanceOf(Array);
  });

  test("has no field that would pass for a prototype, written out or escaped", () => {
    for (const text of ['{"__proto__":{}}', '{"a":[{"\\u005f_proto__":1}]}']) {
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: "invalid_request" }));
    }
    expect(parse('{"a":"__proto__"}')).toEqual({ a: "__proto__" });
  });
});
