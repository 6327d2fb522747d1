import { describe, expect, test } from "vitest";
import { createClient } from "./client.ts";
import { CallboardConnectionError } from "./errors.ts";
import { type Script, scriptedServer, sendJson, sendRefusal } from "./testing/scripted-server.ts";

const now = { "retry-after": "0" };

/** Fails `times` times the given way, then succeeds. */
const failing =
  (times: number, fail: (response: Parameters<Script>[1]) => void): Script =>
  (_, response, index) => {
    if (index < times) fail(response);
    else sendJson(response, 200, { ok: true });
  };
const refusing = (status: number, code: string, times = 1) =>
  failing(times, (response) => sendRefusal(response, status, code, now));
const cutting = failing(1, (response) => response.destroy());

describe("a creating call", () => {
  test.each([
    [429, "too_many_runs"],
    [502, "unavailable"],
    [503, "unavailable"],
    [504, "unavailable"],
    [409, "idempotency_in_progress"],
  ])("is repeated after %i %s with the same idempotency key", async (status, code) => {
    const server = await scriptedServer(refusing(status, code, 2));
    await createClient({ baseUrl: server.url }).threads.create("support", {});
    const keys = server.seen.map((seen) => seen.headers["idempotency-key"]);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
  });

  test("is repeated when the connection broke, with the same key and body", async () => {
    const server = await scriptedServer(cutting);
    await createClient({ baseUrl: server.url }).tokens.create({ label: "ci" });
    const [first, second] = server.seen;
    expect(second?.headers["idempotency-key"]).toBe(first?.headers["idempotency-key"]);
    expect(second?.body).toEqual(first?.body);
  });

  test("is repeated when the answer breaks off in its middle", async () => {
    const server = await scriptedServer(
      failing(1, (response) => {
        response.writeHead(200, { "content-length": "100" }).write('{"ok":');
        response.destroy();
      }),
    );
    expect(await createClient({ baseUrl: server.url }).threads.create("support")).toEqual({ ok: true });
  });

  test("keeps the caller's own key", async () => {
    const server = await scriptedServer(refusing(503, "unavailable"));
    await createClient({ baseUrl: server.url }).threads.create("support", {}, { idempotencyKey: "order-17" });
    expect(server.seen.map((seen) => seen.headers["idempotency-key"])).toEqual(["order-17", "order-17"]);
  });

  test("has another key for each call", async () => {
    const server = await scriptedServer(refusing(200, "", 0));
    const client = createClient({ baseUrl: server.url });
    await client.threads.create("support");
    await client.threads.create("support");
    expect(new Set(server.seen.map((seen) => seen.headers["idempotency-key"])).size).toBe(2);
  });

  test.each([
    [409, "run_active"],
    [409, "idempotency_conflict"],
    [422, "invalid_request"],
    [500, "internal"],
  ])("is not repeated after %i %s", async (status, code) => {
    const server = await scriptedServer(refusing(status, code));
    await expect(createClient({ baseUrl: server.url }).threads.create("support")).rejects.toMatchObject({ code });
    expect(server.seen).toHaveLength(1);
  });
});

describe("a call that changes something without a key", () => {
  test.each([429, 503])("is repeated after %i, which says that nothing was done", async (status) => {
    const server = await scriptedServer(refusing(status, "unavailable"));
    await createClient({ baseUrl: server.url }).threads.archive("thread_1");
    expect(server.seen).toHaveLength(2);
  });

  test.each([502, 504])("is not repeated after %i, since it may have been done", async (status) => {
    const server = await scriptedServer(refusing(status, "unavailable"));
    await expect(createClient({ baseUrl: server.url }).threads.update("thread_1", {})).rejects.toMatchObject({
      status,
    });
    expect(server.seen).toHaveLength(1);
  });

  test("is not repeated when the connection broke", async () => {
    const server = await scriptedServer(cutting);
    await expect(createClient({ baseUrl: server.url }).threads.delete("thread_1")).rejects.toBeInstanceOf(
      CallboardConnectionError,
    );
    expect(server.seen).toHaveLength(1);
  });
});

test("a read is repeated when the connection broke", async () => {
  const server = await scriptedServer(cutting);
  expect(await createClient({ baseUrl: server.url }).me.get()).toEqual({ ok: true });
});

test("retries end, and the last refusal is thrown", async () => {
  const server = await scriptedServer(refusing(503, "unavailable", 9));
  const call = createClient({ baseUrl: server.url, retries: 3 }).me.get();
  await expect(call).rejects.toMatchObject({ code: "unavailable" });
  expect(server.seen).toHaveLength(4);
});

test("a server that asks for a very long pause gets no retry", async () => {
  const server = await scriptedServer(
    failing(1, (response) => sendRefusal(response, 429, "rate_limited", { "retry-after": "3600" })),
  );
  const call = createClient({ baseUrl: server.url }).me.get();
  await expect(call).rejects.toMatchObject({ code: "rate_limited", retryAfterMs: 3_600_000 });
});

test("an aborted signal ends the pause between two tries with its reason", async () => {
  const stop = new AbortController();
  const server = await scriptedServer((_, response) => {
    sendRefusal(response, 503, "unavailable", { "retry-after": "30" });
    setTimeout(() => stop.abort(new Error("enough")), 20);
  });
  const call = createClient({ baseUrl: server.url }).me.get({ signal: stop.signal });
  await expect(call).rejects.toThrow("enough");
  expect(server.seen).toHaveLength(1);
});

describe("a signal", () => {
  const reason = new Error("enough");

  test("that is aborted already sends nothing", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, {}));
    const asked = createClient({ baseUrl: server.url }).me.get({ signal: AbortSignal.abort(reason) });
    await expect(asked).rejects.toBe(reason);
    expect(server.seen).toEqual([]);
  });

  test("ends a request that has no answer yet, with its reason", async () => {
    const stop = new AbortController();
    const server = await scriptedServer(() => stop.abort(reason));
    await expect(createClient({ baseUrl: server.url }).me.get({ signal: stop.signal })).rejects.toBe(reason);
    expect(server.seen).toHaveLength(1);
  });

  test("ends an answer in its middle, with its reason", async () => {
    const stop = new AbortController();
    const server = await scriptedServer((_, response) => {
      response.writeHead(200, { "content-type": "application/json" }).write('{"kind":', () => stop.abort(reason));
    });
    await expect(createClient({ baseUrl: server.url }).me.get({ signal: stop.signal })).rejects.toBe(reason);
    expect(server.seen).toHaveLength(1);
  });
});
