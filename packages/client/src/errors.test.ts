import { errorCatalogue } from "@callboard/protocol";
import { describe, expect, test } from "vitest";
import { readRefusal, retryAfterMs } from "./answer.ts";
import { createClient } from "./client.ts";
import { CallboardApiError, CallboardConnectionError } from "./errors.ts";
import { scriptedServer, sendJson } from "./testing/scripted-server.ts";

test.each(Object.entries(errorCatalogue))("%s is retryable exactly when the catalogue says so", (code, entry) => {
  const error = new CallboardApiError({ status: entry.status, code, message: entry.summary });
  expect(error.retryable).toBe(entry.retryable);
});

describe("a refusal", () => {
  test("is thrown with all that the server said", async () => {
    const fields = [{ path: "input.content", message: "expected exactly one of content and text" }];
    const server = await scriptedServer((_, response) =>
      sendJson(response, 422, {
        error: { code: "invalid_request", message: "input is wrong", request_id: "req_7", details: { fields } },
      }),
    );
    const error = await createClient({ baseUrl: server.url })
      .me.get()
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CallboardApiError);
    expect(error).toMatchObject({
      status: 422,
      code: "invalid_request",
      message: "input is wrong",
      requestId: "req_7",
      details: { fields },
      retryable: false,
    });
  });

  test("of a proxy keeps its status and gets a code of its own", async () => {
    const page = new Response("<h1>Bad gateway</h1>", { status: 502, statusText: "Bad Gateway" });
    expect(await readRefusal(page)).toMatchObject({
      status: 502,
      code: "http_502",
      message: "Bad Gateway",
      requestId: undefined,
      retryable: true,
    });
  });
});

test("a success that is not JSON is an unexpected answer, not a syntax error", async () => {
  const server = await scriptedServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<h1>Welcome</h1>");
  });
  const call = createClient({ baseUrl: server.url }).me.get();
  await expect(call).rejects.toMatchObject({ code: "unexpected_answer", retryable: false });
});

test("no answer at all is a connection error that keeps its cause", async () => {
  const cause = new TypeError("fetch failed");
  const client = createClient({ baseUrl: "http://callboard.test", retries: 0, fetch: () => Promise.reject(cause) });
  const error = await client.me.get().catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CallboardConnectionError);
  expect(error).toMatchObject({ cause });
});

test("Retry-After is read as seconds and as a date", () => {
  const nowMs = Date.parse("2026-01-31T09:30:00Z");
  expect(retryAfterMs("3", nowMs)).toBe(3000);
  expect(retryAfterMs("Sat, 31 Jan 2026 09:30:05 GMT", nowMs)).toBe(5000);
  expect(retryAfterMs("Sat, 31 Jan 2026 09:29:00 GMT", nowMs)).toBe(0);
  expect(retryAfterMs("soon", nowMs)).toBeUndefined();
  expect(retryAfterMs(null, nowMs)).toBeUndefined();
});
