import { describe, expect, expectTypeOf, test } from "vitest";
import { createClient } from "./client.ts";
import type { EndpointRef } from "./endpoints.ts";
import { scriptedServer, sendJson, sendRefusal } from "./testing/scripted-server.ts";

const accepted = { job_id: "job_1", state: "queued", status: null };
const job = (state: string, more: object = {}) => ({ ...accepted, state, ...more });

describe("calling an endpoint", () => {
  test("sends the input with a key and gives back the answer", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, { category: "bug" }));
    const client = createClient({ baseUrl: `${server.url}/`, token: "cbp_secret" });
    const answer = await client.endpoints.call<{ category: string }>("/triage-ticket", { ticket: "E-17" });
    expect(answer.category).toBe("bug");
    const [seen] = server.seen;
    expect([seen?.method, seen?.url, seen?.body.toString()]).toEqual([
      "POST",
      "/endpoints/triage-ticket",
      JSON.stringify({ ticket: "E-17" }),
    ]);
    expect(seen?.headers).toMatchObject({ authorization: "Bearer cbp_secret" });
    expect(seen?.headers["idempotency-key"]).toMatch(/^[0-9a-f]{32}$/);
  });

  test("that was generated goes to its method and path, and has its types", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, { id: "t-7" }));
    const client = createClient({ baseUrl: server.url });
    const ticket = { method: "GET", path: "tickets/t-7" } as EndpointRef<{ verbose?: string }, { id: string }>;
    const { id } = await client.endpoints.call(ticket, { verbose: "yes" });
    expectTypeOf(id).toEqualTypeOf<string>();
    expect([server.seen[0]?.method, server.seen[0]?.url]).toEqual(["GET", "/endpoints/tickets/t-7?verbose=yes"]);
    await client.endpoints.call(ticket); // nothing of it is needed
    // @ts-expect-error an input that does not fit
    await client.endpoints.call(ticket, { verbose: 1 });
    const needs = { method: "POST", path: "needs" } as EndpointRef<{ text: string }, null>;
    // @ts-expect-error a field is needed
    await client.endpoints.call(needs);
  });

  test("with GET sends the input in the query", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, []));
    await createClient({ baseUrl: server.url }).endpoints.call("tickets/t-7", { limit: 3 }, { method: "GET" });
    expect([server.seen[0]?.method, server.seen[0]?.url]).toEqual(["GET", "/endpoints/tickets/t-7?limit=3"]);
    expect(server.seen[0]?.body.toString()).toBe("");
  });

  test("with GET sends a list as its values under one name, and a date as its text", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, []));
    const input = { tag: ["a,b", "c"], since: new Date(0), none: undefined };
    await createClient({ baseUrl: server.url }).endpoints.call("tickets", input, { method: "GET" });
    expect(server.seen[0]?.url).toBe("/endpoints/tickets?tag=a%2Cb&tag=c&since=1970-01-01T00%3A00%3A00.000Z");
  });

  test.each(["tickets/../close", "tickets//close", "tickets/.", "tickets/%2E%2e/close?x=1"])(
    "never reaches another one by a part like that of %s",
    async (path) => {
      const server = await scriptedServer((_, response) => sendJson(response, 200, []));
      await expect(createClient({ baseUrl: server.url }).endpoints.call(path)).rejects.toThrow(TypeError);
      expect(server.seen).toEqual([]);
    },
  );

  test("may be the one of the folder itself", async () => {
    const server = await scriptedServer((_, response) => sendJson(response, 200, "index"));
    expect(await createClient({ baseUrl: server.url }).endpoints.call("")).toBe("index");
    expect(server.seen[0]?.url).toBe("/endpoints");
  });

  test("is repeated under the same key while the server is away", async () => {
    const server = await scriptedServer((_, response, index) => {
      if (index === 0) sendRefusal(response, 503, "unavailable", { "retry-after": "0" });
      else sendJson(response, 200, "done");
    });
    expect(await createClient({ baseUrl: server.url }).endpoints.call("x", {})).toBe("done");
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    expect(keys[0]).toBe(keys[1]);
  });

  test("without a key sends none, and is not repeated when no answer came", async () => {
    const server = await scriptedServer((_, response) => void response.destroy());
    const client = createClient({ baseUrl: server.url });
    await expect(client.endpoints.call("x", {}, { idempotencyKey: null })).rejects.toThrow("no answer");
    expect(server.seen.map(({ headers }) => headers["idempotency-key"])).toEqual([undefined]);
  });

  test("is not repeated when its agent failed or it took too long: that is for the caller to decide", async () => {
    const codes = ["endpoint_timeout", "model_unavailable"];
    const server = await scriptedServer((_, response, index) =>
      sendRefusal(response, 504 - index, codes[index] as string),
    );
    const client = createClient({ baseUrl: server.url });
    for (const code of codes) await expect(client.endpoints.call("x", {})).rejects.toMatchObject({ code });
    expect(server.seen).toHaveLength(2);
  });

  test("that answers with a job waits for its result", async () => {
    const server = await scriptedServer((seen, response, index) => {
      if (seen.method === "POST") sendJson(response, 202, accepted, { location: "/api/v1/jobs/job_1" });
      else sendJson(response, 200, index < 2 ? job("running") : job("completed", { result: { category: "bug" } }));
    });
    expect(await createClient({ baseUrl: server.url }).endpoints.call("slow", {})).toEqual({ category: "bug" });
    expect(server.seen.slice(1).map(({ url, headers }) => [url, headers.prefer])).toEqual([
      ["/api/v1/jobs/job_1", "wait=25"],
      ["/api/v1/jobs/job_1", "wait=25"],
    ]);
  });

  test("that answered with a job has its result, also when the server is away right after", async () => {
    const server = await scriptedServer((seen, response, index) => {
      if (seen.method === "POST") sendJson(response, 202, accepted);
      else if (index < 5) sendRefusal(response, 503, "unavailable", { "retry-after": "0" });
      else sendJson(response, 200, job("completed", { result: "late" }));
    });
    expect(await createClient({ baseUrl: server.url, retries: 0 }).endpoints.call("slow", {})).toBe("late");
  });

  test("whose job failed throws what the job failed with", async () => {
    const error = {
      code: "model_rejected",
      message: "refused",
      retryable: false,
      status: 502,
      details: { run_id: "r" },
    };
    const server = await scriptedServer((seen, response) => {
      if (seen.method === "POST") sendJson(response, 202, accepted);
      else sendJson(response, 200, job("failed", { error }));
    });
    const call = createClient({ baseUrl: server.url }).endpoints.call("slow", {});
    await expect(call).rejects.toMatchObject({ code: "model_rejected", status: 502, details: { run_id: "r" } });
  });

  test("that nobody waits for any more cancels its job", async () => {
    const abort = new AbortController();
    const server = await scriptedServer((seen, response) => {
      if (seen.method === "POST") sendJson(response, 202, accepted);
      else if (seen.method === "DELETE") sendJson(response, 200, job("canceled"));
      else abort.abort(new Error("enough")); // while the server holds the answer
    });
    const call = createClient({ baseUrl: server.url }).endpoints.call("slow", {}, { signal: abort.signal });
    await expect(call).rejects.toThrow("enough");
    expect(server.seen.at(-1)).toMatchObject({ method: "DELETE", url: "/api/v1/jobs/job_1" });
  });
});

test("waiting for a job ends with the signal and leaves the job alone", async () => {
  const abort = new AbortController();
  const server = await scriptedServer((_, response) => {
    sendJson(response, 200, job("running"));
    abort.abort(new Error("enough"));
  });
  const wait = createClient({ baseUrl: server.url }).jobs.wait("job_1", { signal: abort.signal });
  await expect(wait).rejects.toThrow("enough");
  expect(server.seen.every(({ method }) => method === "GET")).toBe(true);
});
