import { expect, test } from "vitest";
import { createClient } from "./client.ts";
import { scriptedServer, sendJson, sendRefusal } from "./testing/scripted-server.ts";

const run = (state: string) => ({ id: "run_1", thread_id: "thread_1", state });

test("wait asks again until the run has ended, and the server holds each answer", async () => {
  const states = ["running", "waiting", "completed"];
  const server = await scriptedServer((_, response, index) => sendJson(response, 200, run(states[index] as string)));
  expect(await createClient({ baseUrl: server.url }).runs.wait("run_1")).toEqual(run("completed"));
  expect(server.seen.map((seen) => [seen.url, seen.headers.prefer])).toEqual(
    states.map(() => ["/api/v1/runs/run_1", "wait=25"]),
  );
});

test.each(["failed", "canceled"])("a %s run is an answer, not an error", async (state) => {
  const server = await scriptedServer((_, response) => sendJson(response, 200, run(state)));
  expect(await createClient({ baseUrl: server.url }).runs.wait("run_1")).toEqual(run(state));
});

test("a server that is away in between is waited for", async () => {
  const server = await scriptedServer((_, response, index) => {
    if (index === 1) sendRefusal(response, 503, "unavailable");
    else sendJson(response, 200, run(index === 0 ? "running" : "completed"));
  });
  const client = createClient({ baseUrl: server.url, retries: 0 });
  expect(await client.runs.wait("run_1")).toEqual(run("completed"));
});

test("a run that is not there is an error", async () => {
  const server = await scriptedServer((_, response) => sendRefusal(response, 404, "not_found"));
  await expect(createClient({ baseUrl: server.url }).runs.wait("run_1")).rejects.toMatchObject({ code: "not_found" });
});

test("after timeoutMs the error holds the run as last seen", async () => {
  const server = await scriptedServer((_, response, index) => {
    if (index === 0) sendJson(response, 200, run("running")); // the second one is never answered
  });
  const wait = createClient({ baseUrl: server.url }).runs.wait("run_1", { timeoutMs: 3000 });
  await expect(wait).rejects.toMatchObject({ name: "CallboardTimeoutError", runId: "run_1", run: run("running") });
  expect(server.seen[0]?.headers.prefer).toBe("wait=3");
});

test("an aborted signal ends the waiting with its reason", async () => {
  const stop = new AbortController();
  const server = await scriptedServer(() => stop.abort(new Error("enough")));
  const wait = createClient({ baseUrl: server.url }).runs.wait("run_1", { signal: stop.signal, timeoutMs: 60_000 });
  await expect(wait).rejects.toThrow("enough");
});

test("threads.run creates a thread with a message, waits, and reads the thread again", async () => {
  const server = await scriptedServer(({ method, url }, response) => {
    if (method === "POST")
      sendJson(response, 201, { thread: { id: "thread_1", state: "running" }, run: run("queued") });
    else if (url.includes("/runs/")) sendJson(response, 200, run("completed"));
    else sendJson(response, 200, { thread: { id: "thread_1", state: "idle" }, run: run("completed") });
  });
  const client = createClient({ baseUrl: server.url });
  const answer = await client.threads.run("support", { text: "hi", title: "Parcel" }, { idempotencyKey: "order-17" });
  expect(answer).toEqual({ thread: { id: "thread_1", state: "idle" }, run: run("completed") });
  expect(JSON.parse(String(server.seen[0]?.body))).toEqual({
    title: "Parcel",
    input: { type: "user.message", text: "hi" },
  });
  expect(server.seen[0]?.headers["idempotency-key"]).toBe("order-17");
});
