import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { GuardedFetchError } from "./failure.ts";
import { type GuardedFetchOptions, guardedFetch } from "./fetch.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const server = createServer((request, response) => {
    request.setEncoding("utf8");
    let body = "";
    request.on("data", (piece: string) => {
      body += piece;
    });
    request.on("end", () => answer(request, response, body));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const local = (more: Partial<GuardedFetchOptions> = {}) => guardedFetch({ allowPrivate: true, ...more });
const reasonOf = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    return error instanceof GuardedFetchError ? error.reason : error;
  }
  throw new Error("expected a failure");
};

describe("guardedFetch", () => {
  test("sends method, headers and body, and gives status, headers and body back", async () => {
    const base = await serve((request, response, body) => {
      response.writeHead(201, { "content-type": "application/json", "x-seen": request.headers["x-own"] });
      response.end(JSON.stringify({ method: request.method, body, length: request.headers["content-length"] }));
    });
    const answer = await local()(`${base}/a?b=c`, { method: "PUT", headers: { "X-Own": "yes" }, body: "größe" });
    expect(answer.status).toBe(201);
    expect(answer.url).toBe(`${base}/a?b=c`);
    expect(answer.headers.get("x-seen")).toBe("yes");
    expect(await answer.json()).toEqual({ method: "PUT", body: "größe", length: "7" });
  });

  test("answers without a body end as such", async () => {
    const base = await serve((_request, response) => response.writeHead(204).end());
    const answer = await local()(base);
    expect(answer.body).toBeNull();
    expect(await answer.text()).toBe("");
  });

  test.each([
    ["gzip", gzipSync("plain text")],
    ["br", brotliCompressSync("plain text")],
  ])("decompresses %s", async (encoding, bytes) => {
    const base = await serve((_request, response) => {
      response.writeHead(200, { "content-encoding": encoding }).end(bytes);
    });
    expect(await (await local()(base)).text()).toBe("plain text");
  });

  test("a small compressed answer that grows beyond the limit is cut off", async () => {
    const base = await serve((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(2_000_000)));
    });
    const answer = await local({ maxResponseBytes: 100_000 })(base);
    expect(await reasonOf(answer.arrayBuffer())).toBe("too_large");
  });

  test("an answer without end is cut off at the limit", async () => {
    const base = await serve((_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      };
      response.on("drain", more);
      more();
    });
    const answer = await local({ maxResponseBytes: 200_000 })(base);
    expect(await reasonOf(answer.arrayBuffer())).toBe("too_large");
  });

  test("a reader that is slow slows the server down", async () => {
    let written = 0;
    const base = await serve((_request, response) => {
      const more = () => {
        do written += 65_536;
        while (written < 64 * 1024 * 1024 && response.write(Buffer.alloc(65_536)));
      };
      response.on("drain", more);
      more();
    });
    const answer = await local({ maxResponseBytes: 64 * 1024 * 1024 })(base);
    await new Promise((done) => setTimeout(done, 200));
    expect(written).toBeLessThan(32 * 1024 * 1024);
    await answer.body?.cancel();
  });

  test("refuses private addresses and other schemes", async () => {
    const base = await serve((_request, response) => response.end("secret"));
    const strict = guardedFetch({ allowPrivate: false });
    expect(await reasonOf(strict(base))).toBe("address_refused");
    expect(await reasonOf(strict("http://169.254.169.254/latest/meta-data"))).toBe("address_refused");
    expect(await reasonOf(strict("file:///etc/passwd"))).toBe("bad_url");
    expect(await reasonOf(strict("data:text/plain,hello"))).toBe("bad_url");
  });

  test("a redirect to a metadata address is refused", async () => {
    const base = await serve((_request, response) =>
      response.writeHead(302, { location: "http://169.254.169.254/" }).end(),
    );
    expect(await reasonOf(local()(base))).toBe("address_refused");
  });

  test("a redirect to another scheme is refused", async () => {
    const base = await serve((_request, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end());
    expect(await reasonOf(local()(base))).toBe("bad_url");
  });

  test("addresses with a user's name, other texts and other protocols' ports are refused without repeating them", async () => {
    for (const address of ["http://user:s3cret@1.1.1.1/", "http://s3cret@1.1.1.1/", "s3cret", "http://", "//s3cret/"]) {
      const error = await local()(address).catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(GuardedFetchError);
      expect(error).toMatchObject({ reason: "bad_url" });
      expect((error as Error).message).not.toContain("s3cret");
    }
    for (const port of [22, 25, 6667]) expect(await reasonOf(local()(`http://127.0.0.1:${port}/`))).toBe("bad_url");
  });

  test("a list of hosts holds for the first address and for those of redirects", async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.url);
      response.end("there");
    });
    const base = await serve((request, response) => {
      if (request.url === "/away") response.writeHead(302, { location: other }).end();
      else if (request.url === "/here") response.writeHead(302, { location: "/end" }).end();
      else response.end("here");
    });
    const listed = local({ allow: (url) => url.origin === base });
    expect(await (await listed(`${base}/here`)).text()).toBe("here");
    expect(await reasonOf(listed(`${base}/away`))).toBe("not_allowed");
    expect(await reasonOf(listed(other))).toBe("not_allowed");
    expect(seen).toEqual([]);
  });

  test("a redirect within the origin keeps the headers; one to another origin takes no credentials along", async () => {
    const seen: IncomingMessage["headers"][] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers);
      response.end("there");
    });
    const base = await serve((request, response) => {
      seen.push(request.headers);
      if (request.url === "/first") response.writeHead(307, { location: "/second" }).end();
      else response.writeHead(307, { location: `${other.replace("http://", "http://user:secret@")}/third` }).end();
    });
    const answer = await local()(`${base}/first`, {
      method: "POST",
      body: "{}",
      headers: { authorization: "Bearer key", cookie: "a=b", "x-api-key": "key", "content-type": "application/json" },
    });
    expect(await answer.text()).toBe("there");
    expect(answer.redirected).toBe(true);
    expect(seen[1]).toMatchObject({ authorization: "Bearer key", cookie: "a=b", "x-api-key": "key" });
    expect(seen[2]).toMatchObject({ "content-type": "application/json", "content-length": "2" });
    for (const name of ["authorization", "cookie", "x-api-key"]) expect(seen[2]).not.toHaveProperty(name);
  });

  test("a POST that is answered with 303 becomes a GET without a body", async () => {
    const base = await serve((request, response, body) => {
      if (request.url === "/") response.writeHead(303, { location: "/next" }).end();
      else response.end(JSON.stringify([request.method, body, request.headers["content-type"] ?? null]));
    });
    const answer = await local()(base, { method: "POST", body: "x", headers: { "content-type": "text/plain" } });
    expect(await answer.json()).toEqual(["GET", "", null]);
  });

  test("a loop of redirects ends", async () => {
    let hops = 0;
    const base = await serve((_request, response) => {
      hops++;
      response.writeHead(302, { location: "/again" }).end();
    });
    expect(await reasonOf(local()(base))).toBe("too_many_redirects");
    expect(hops).toBe(6);
  });

  test("the caller may ask to see redirects, or to refuse them", async () => {
    const base = await serve((_request, response) => response.writeHead(302, { location: "/again" }).end());
    expect((await local()(base, { redirect: "manual" })).status).toBe(302);
    expect(await reasonOf(local()(base, { redirect: "error" }))).toBe("too_many_redirects");
  });

  test("a server that does not answer, or stops in the middle, runs into the time limit", async () => {
    const base = await serve((request, response) => {
      if (request.url === "/half") response.write("half");
    });
    expect(await reasonOf(local({ timeoutMs: 60 })(base))).toBe("timeout");
    const half = await local({ timeoutMs: 2000 })(`${base}/half`);
    expect(await reasonOf(half.text())).toBe("timeout");
    expect(await reasonOf(local({ timeoutMs: 0, idleTimeoutMs: 100 })(base))).toBe("timeout");
  });

  test("an answer that breaks off fails while it is read", async () => {
    const base = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("ten bytes!", () => response.destroy());
    });
    expect(await reasonOf(local()(base).then((answer) => answer.text()))).toBe("cut");
  });

  test("nobody listening is told as unreachable", async () => {
    const base = await serve(() => {});
    for (const stop of stops.splice(0)) stop();
    expect(await reasonOf(local()(base))).toBe("unreachable");
  });

  test("an aborted signal ends the call with its own reason, before and during the body", async () => {
    const base = await serve((_request, response) => response.write("half"));
    const reason = new Error("enough");
    expect(await reasonOf(local()(base, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const control = new AbortController();
    const answer = await local()(base, { signal: control.signal });
    const text = reasonOf(answer.text());
    control.abort(reason);
    expect(await text).toBe(reason);
  });

  test("headers that describe the connection are not taken from the caller", async () => {
    const base = await serve((request, response, body) => {
      response.end(JSON.stringify([request.headers["content-length"], request.headers["transfer-encoding"], body]));
    });
    const answer = await local()(base, {
      method: "POST",
      body: "12345",
      headers: { "content-length": "2", "transfer-encoding": "chunked" },
    });
    expect(await answer.json()).toEqual(["5", null, "12345"]);
  });
});
