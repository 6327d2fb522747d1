/** Uploads that are too large, broken or cut leave nothing behind; neither do requests that are no HTTP. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Answer } from "../testing/http-client.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

const MAX = 300_000;
let server: TestServer;
let path: string;
beforeAll(async () => {
  server = await startTestServer({
    env: { CALLBOARD_MAX_FILE_BYTES: String(MAX) },
    agents: { desk: { name: "Desk" } },
  });
  path = `/threads/${(await server.client().post("/agents/desk/threads", {})).body.thread.id}`;
});
afterAll(() => server.stop());

const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code ?? "accepted"}`;
const left = () =>
  server.row<{ blobs: number; chunks: number; files: number; events: number }>(
    `select (select count(*)::int from blobs) as blobs, (select count(*)::int from blob_chunks) as chunks,
            (select count(*)::int from files) as files, (select count(*)::int from events) as events`,
  );
/** What is left once removals under way are done. */
async function settled(expected: unknown): Promise<unknown> {
  for (let tries = 0; tries < 1000; tries++) {
    const now = await left();
    if (JSON.stringify(now) === JSON.stringify(expected)) return now;
    await sleep(20);
  }
  return left();
}

/** Sends bytes over a socket of its own, which ends at once, is cut, ends with the first answer, or is closed by the server. */
function raw(text: string | Buffer, how: "end" | "cut" | "answer" | "close" = "answer"): Promise<string> {
  const { port } = new URL(server.baseUrl);
  return new Promise((resolve) => {
    let seen = "";
    const socket = connect(Number(port), "127.0.0.1", () => {
      socket.write(text, () => {
        if (how === "end") socket.end();
        if (how === "cut") setTimeout(() => socket.destroy(), 50);
      });
    });
    socket.on("data", (chunk) => {
      seen += chunk;
      if (how === "answer") socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(seen));
  });
}

const head = (method: string, at: string, headers: Record<string, string | number>) =>
  [
    `${method} /api/v1${at} HTTP/1.1`,
    "Host: localhost",
    `Authorization: Bearer ${server.token}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");

describe("too large", () => {
  test("a multipart file is refused, and what was stored goes", async () => {
    const before = await left();
    for (const size of [MAX + 1, MAX * 4]) {
      const answer = await server.client().upload(`${path}/files`, { name: "a", bytes: "x".repeat(size) });
      expect(refusal(answer)).toBe("413 file_too_large");
      expect(answer.body.error.details).toEqual({ max_bytes: MAX });
    }
    const early = await server.client().upload("/agents/desk/files", { name: "a", bytes: "x".repeat(MAX + 1) });
    expect(refusal(early)).toBe("413 file_too_large");
    expect(await settled(before)).toEqual(before);
  });

  test("a base64 file is refused by its decoded size", async () => {
    const before = await left();
    const body = (size: number) => ({ name: "a", content_base64: Buffer.alloc(size).toString("base64") });
    expect(refusal(await server.client().post(`${path}/files`, body(MAX + 1)))).toBe("413 file_too_large");
    expect(await settled(before)).toEqual(before);
    expect((await server.client().post(`${path}/files`, body(MAX))).status).toBe(201);
  });

  test("a file of exactly the size is accepted", async () => {
    const answer = await server.client().upload(`${path}/files`, { name: "a", bytes: "x".repeat(MAX) });
    expect(answer.body.size_bytes).toBe(MAX);
  });

  test("a JSON body is refused by what it declares, before it is sent", async () => {
    const text = head("POST", "/agents/desk/threads", {
      "Content-Type": "application/json",
      "Content-Length": 10_000_000,
    });
    const answer = await raw(text);
    expect(answer).toContain("HTTP/1.1 413");
    expect(answer).toContain("body_too_large");
    expect(answer.toLowerCase()).toContain("connection: close");
  });

  test("a client that is still sending reads why it is refused", async () => {
    const headers = { "Content-Type": "application/json", "Content-Length": 40_000_000 };
    const { port } = new URL(server.baseUrl);
    const socket = connect(Number(port), "127.0.0.1");
    const closed = once(socket, "close");
    const errors: Error[] = [];
    socket.on("error", (error) => errors.push(error));
    let seen = "";
    socket.on("data", (chunk) => {
      seen += chunk;
    });
    socket.write(head("POST", "/agents/desk/threads", headers));
    // Sends all of it, long after the answer has come.
    for (let i = 0; i < 40; i++) if (!socket.write(Buffer.alloc(1_000_000, "x"))) await once(socket, "drain");
    await closed;
    expect(errors).toEqual([]);
    expect(seen).toContain("body_too_large");
  });

  test("a chunked JSON body is refused while it comes", async () => {
    const text = head("POST", "/agents/desk/threads", {
      "Content-Type": "application/json",
      "Transfer-Encoding": "chunked",
    });
    const chunk = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    expect(await raw(text + chunk.repeat(5))).toContain("HTTP/1.1 413");
  });
});

describe("cut", () => {
  const boundary = "----b";
  const part = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n`;
  const type = `multipart/form-data; boundary=${boundary}`;

  test.each([
    ["before its first byte", ""],
    ["in its header", part.slice(0, 40)],
    ["at its first byte", part],
    ["in the middle", `${part}${"x".repeat(290_000)}`],
    ["before its last line", `${part}x\r\n--${boundary}`],
  ])("a multipart body %s leaves nothing, and the server serves on", async (_where, sent) => {
    const before = await left();
    for (const how of ["cut", "end"] as const) {
      const headers = { "Content-Type": type, "Content-Length": 290_000 + 1000 };
      await raw(head("POST", `${path}/files`, headers) + sent, how);
      const chunked = { "Content-Type": type, "Transfer-Encoding": "chunked" };
      const size = Buffer.byteLength(sent).toString(16);
      await raw(`${head("POST", `${path}/files`, chunked)}${sent === "" ? "" : `${size}\r\n${sent}\r\n`}`, how);
    }
    expect(await settled(before)).toEqual(before);
    expect((await server.client().get("/me")).status).toBe(200);
  });

  test("a JSON body that is cut is no request", async () => {
    // Bytes of uploads that the tests before cut may still be on their way out.
    const { events, files } = await left();
    const headers = { "Content-Type": "application/json", "Content-Length": 100 };
    for (const how of ["cut", "end"] as const)
      await raw(`${head("POST", "/agents/desk/threads", headers)}{"title":"`, how);
    expect(await left()).toMatchObject({ events, files });
    expect((await server.client().get("/agents/desk/threads")).body.data).toHaveLength(1);
  });

  test("a client that leaves during a download is forgotten", async () => {
    const file = (await server.client().upload(`${path}/files`, { name: "a", bytes: "x".repeat(MAX) })).body;
    await raw(head("GET", `/files/${file.id}/content`, {}), "cut");
    expect((await server.client().bytes(`/files/${file.id}/content`)).bytes).toHaveLength(MAX);
  });
});

describe("what is hardly HTTP", () => {
  test.each([
    ["garbage", "hello\r\n\r\n"],
    ["no host", "GET /api/v1/me HTTP/1.1\r\n\r\n"],
    ["a host that is none", "GET /api/v1/me HTTP/1.1\r\nHost: a b/c\r\n\r\n"],
    ["an address of somebody else", "GET http://example.com/api/v1/me HTTP/1.1\r\nHost: example.com\r\n\r\n"],
    ["two slashes", "GET //api/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["a star", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["half an escape", "GET /api/v1/threads/%e0%a4%a HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["a long path", `GET /api/v1/${"a".repeat(12_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`],
    ["long headers", `GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nX-A: ${"a".repeat(40_000)}\r\n\r\n`],
    ["two lengths", "POST /api/v1/me HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
  ])("%s is refused as the client's fault", async (_what, text) => {
    expect(await raw(text)).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await server.client().get("/me")).status).toBe(200);
  });

  test("an unknown method is refused", async () => {
    expect(await raw(head("PROPFIND", "/me", {}))).toMatch(/^HTTP\/1\.1 (?:404|405) /);
  });

  test("a body that nobody reads does not disturb the next request on the connection", async () => {
    const first = `${head("POST", "/nothing", { "Content-Type": "text/plain", "Content-Length": 5 })}hello`;
    const refused = `${head("POST", "/agents/desk/threads", { "Content-Type": "text/plain", "Content-Length": 5 })}hello`;
    const last = head("GET", "/me", { Connection: "close" });
    const answers = (await raw(first + refused + last, "close")).match(/HTTP\/1\.1 \d+/g);
    expect(answers).toEqual(["HTTP/1.1 404", "HTTP/1.1 415", "HTTP/1.1 200"]);
  });
});
