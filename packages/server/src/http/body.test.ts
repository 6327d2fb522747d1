import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { readBody } from "./body.ts";

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
