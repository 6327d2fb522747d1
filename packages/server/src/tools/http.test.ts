import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpRule } from "../config/index.ts";
import { parseAllowedHost } from "../net/index.ts";
import { toolsOf, use } from "./fixture.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

type Seen = { method: string | undefined; url: string | undefined; headers: IncomingMessage["headers"]; body: string };

async function serve(answer: (request: Seen, response: ServerResponse) => void) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (piece: string) => {
      body += piece;
    });
    request.on("end", () => {
      const asked = { method: request.method, url: request.url, headers: request.headers, body };
      seen.push(asked);
      answer(asked, response);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function rule(host: string, more: Partial<HttpRule> = {}): HttpRule {
  const parsed = parseAllowedHost(host);
  if (parsed === undefined) throw new Error(`${host} is not a host`);
  return { host: parsed, methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], headers: {}, ...more };
}
const allowing = (...allow: HttpRule[]) => toolsOf(null, { http: { allow } });

describe("without a list of hosts", () => {
  test("the tools are not there", async () => {
    const names = (await allowing()).names();
    expect(names.has("http_get")).toBe(false);
    expect(names.has("http_request")).toBe(false);
  });
});

describe("http_get", () => {
  test("reads text, and says what it can reach", async () => {
    const { base, seen } = await serve((_, response) => {
      response.writeHead(200, { "content-type": "application/json", etag: '"1"', "set-cookie": "a=b", server: "x" });
      response.end('{"ok":true}');
    });
    const tools = await allowing(rule(base), rule("*.example.com"), rule("api.example.com:8443"));
    const tool = tools.get("http_get");
    expect(tool?.definition).toMatchObject({ effect: "read" });
    expect(tool?.definition.description).toContain(`${base}, *.example.com, api.example.com:8443.`);
    expect(
      await use(tools, "http_get", { url: `${base}/a?b=c`, headers: { Accept: "application/json" } }),
    ).toMatchObject({
      output: {
        status: 200,
        url: `${base}/a?b=c`,
        headers: { "content-type": "application/json", etag: '"1"' },
        text: '{"ok":true}',
      },
    });
    expect(seen[0]).toMatchObject({ method: "GET", url: "/a?b=c", headers: { accept: "application/json" } });
    expect(seen[0]?.headers).not.toHaveProperty("idempotency-key");
  });

  test("a status that says no is an answer", async () => {
    const { base } = await serve((_, response) =>
      response.writeHead(404, { "content-type": "text/plain" }).end("gone"),
    );
    const tools = await allowing(rule(base));
    expect(await use(tools, "http_get", { url: base })).toMatchObject({ output: { status: 404, text: "gone" } });
    expect(await use(tools, "http_get", { url: base, method: "HEAD" })).toMatchObject({
      output: { status: 404, headers: { "content-type": "text/plain" } },
    });
  });

  test("does not change anything: other methods are another tool", async () => {
    const { base, seen } = await serve((_, response) => response.end());
    const tools = await allowing(rule(base));
    expect(await use(tools, "http_get", { url: base, method: "DELETE" })).toMatchObject({ outcome: "error" });
    expect(await use(tools, "http_get", { url: base, body: "x" })).toMatchObject({ outcome: "error" });
    expect(seen).toEqual([]);
  });

  test("cuts long text, describes what is no text, and stops what never ends", async () => {
    const { base } = await serve((request, response) => {
      if (request.url === "/long") response.writeHead(200, { "content-type": "text/plain" }).end("ä".repeat(120_000));
      else if (request.url === "/image") response.writeHead(200, { "content-type": "image/png" }).end("png");
      else if (request.url === "/bomb") {
        const headers = { "content-type": "text/plain", "content-encoding": "gzip" };
        response.writeHead(200, headers).end(gzipSync(Buffer.alloc(50_000_000, "a")));
      } else {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(16_384, "a")));
        };
        response.writeHead(200, { "content-type": "text/plain; charset=latin1" }).on("drain", more);
        more();
      }
    });
    const tools = await allowing(rule(base));
    const cut = (text: string) => ({ output: { text: text.repeat(100_000), truncated: true } });
    expect(await use(tools, "http_get", { url: `${base}/long` })).toMatchObject(cut("ä"));
    expect(await use(tools, "http_get", { url: `${base}/bomb` })).toMatchObject(cut("a"));
    expect(await use(tools, "http_get", { url: `${base}/endless` })).toMatchObject(cut("a"));
    const image = await use(tools, "http_get", { url: `${base}/image` });
    expect(image).toMatchObject({ output: { not_text: "image/png" } });
    expect(image).not.toHaveProperty("output.text");
  });
});

describe("http_request", () => {
  test("sends what changes something once, with the call's id as its key, when a person allowed it", async () => {
    const { base, seen } = await serve((_, response) => response.writeHead(201).end());
    const tools = await allowing(rule(base));
    expect(tools.get("http_request")?.definition).toMatchObject({ effect: "once", approval: "always" });
    const input = {
      url: `${base}/tickets`,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    };
    expect(await use(tools, "http_request", input)).toMatchObject({ output: { status: 201 } });
    expect(seen).toMatchObject([
      { method: "POST", body: "{}", headers: { "content-type": "application/json", "idempotency-key": "call_test" } },
    ]);
  });

  test("is allowed for a thread by method and host", async () => {
    const tools = await allowing(rule("api.example.com"));
    const scope = tools.get("http_request")?.definition.approvalScope;
    const of = (url: string) => scope?.({ method: "POST", url } as never, {} as never);
    expect(of("https://api.example.com/a?b")).toBe("POST https://api.example.com");
    expect(of("https://API.example.com:443/other")).toBe("POST https://api.example.com");
    expect(of("no address")).toBe("");
  });

  test("follows no redirect, and says where it would lead", async () => {
    const { base, seen } = await serve((_, response) => response.writeHead(307, { location: "/else" }).end());
    const answer = await use(await allowing(rule(base)), "http_request", { url: base, method: "PUT", body: "x" });
    expect(answer).toMatchObject({ output: { status: 307, headers: { location: "/else" } } });
    expect(seen).toHaveLength(1);
  });
});

describe("what may be reached", () => {
  test("is only what is listed, also after a redirect", async () => {
    const other = await serve((_, response) => response.end("secret"));
    const { base } = await serve((_, response) => response.writeHead(302, { location: `${other.base}/x` }).end());
    const tools = await allowing(rule(base));
    for (const url of [other.base, base, "https://example.org/", "file:///etc/passwd", "not an address"]) {
      const answer = await use(tools, "http_get", { url });
      expect(answer).toMatchObject({ outcome: "error" });
      expect(answer.text).not.toContain("secret");
    }
    expect(other.seen).toEqual([]);
  });

  test("goes by method, too", async () => {
    const { base, seen } = await serve((_, response) => response.end());
    const tools = await allowing(rule(base, { methods: ["GET"] }));
    expect(await use(tools, "http_request", { url: base, method: "DELETE" })).toMatchObject({ outcome: "error" });
    expect(seen).toEqual([]);
  });

  test("does not include internal addresses, listed or not", async () => {
    const { base, seen } = await serve((_, response) => response.end());
    const tools = await toolsOf(null, { http: { allow: [rule(base)] } }, { allowPrivateNetwork: false });
    expect(await use(tools, "http_get", { url: base })).toMatchObject({
      outcome: "error",
      reason: expect.stringContaining("not on the public internet"),
    });
    expect(seen).toEqual([]);
  });
});

describe("headers", () => {
  test("of the operator go to their host alone, and a model cannot replace them", async () => {
    const other = await serve((_, response) => response.end("there"));
    const { base, seen } = await serve((request, response) => {
      if (request.url === "/away") response.writeHead(307, { location: other.base }).end();
      else response.end("here");
    });
    const tools = await allowing(
      rule(base, { headers: { Accept: "text/x-own", Authorization: "Bearer s3cret" } }),
      rule(other.base),
    );
    const answer = await use(tools, "http_get", { url: `${base}/away`, headers: { accept: "text/html" } });
    expect(answer).toMatchObject({ output: { text: "there" } });
    expect(answer.text).not.toContain("s3cret");
    expect(seen[0]?.headers).toMatchObject({ authorization: "Bearer s3cret", accept: "text/x-own" });
    expect(other.seen[0]?.headers).not.toHaveProperty("authorization");
    expect(JSON.stringify(tools.list())).not.toContain("s3cret");
  });

  test.each(["authorization", "cookie", "host", "x-forwarded-for", "idempotency-key", "transfer-encoding"])(
    "a model cannot send %s",
    async (name) => {
      const { base, seen } = await serve((_, response) => response.end());
      const answer = await use(await allowing(rule(base)), "http_get", { url: base, headers: { [name]: "x" } });
      expect(answer).toMatchObject({
        outcome: "error",
        reason: expect.stringContaining(`the header ${name} cannot be sent`),
      });
      expect(seen).toEqual([]);
    },
  );
});

test("a canceled run closes its request", async () => {
  let left: () => void = () => {};
  const gone = new Promise<void>((done) => {
    left = done;
  });
  let asked: () => void = () => {};
  const arrived = new Promise<void>((done) => {
    asked = done;
  });
  const { base } = await serve((_, response) => {
    response.on("close", left);
    asked();
  });
  const stop = new AbortController();
  const call = use(await allowing(rule(base)), "http_get", { url: base }, { signal: stop.signal });
  await arrived;
  const reason = new Error("the run was canceled");
  stop.abort(reason);
  await expect(call).rejects.toBe(reason);
  await gone;
});
