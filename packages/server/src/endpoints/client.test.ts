/** C5, C12: the client hides jobs, also when every request is a new connection to another process. */
import { type CallboardClient, createClient, type JobEvent } from "@callboard/client";
import { defineEndpoint } from "@callboard/kit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { eventually, later, runsOf } from "./fixture.ts";

const common = {
  method: "POST",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({ said: z.string() }),
} as const;
let gate = later();
const handle = async ({
  input,
  runAgent,
  relayStatus,
}: Parameters<Parameters<typeof defineEndpoint>[0]["handle"]>[0]) => {
  relayStatus("asking");
  const run = await runAgent("slow", { message: (input as { text: string }).text });
  return { said: String(run.output()) };
};
const endpoints = {
  polls: defineEndpoint({ ...common, mode: "polling", handle }),
  within: defineEndpoint({ ...common, mode: "sync", answerWithinMs: 100, handle }),
};

let server: TestServer;
let other: Awaited<ReturnType<TestServer["second"]>>;
let asked: Array<{ at: string; request: string; connection: string | null }> = [];
/** Sends each request over a new connection to the server that did not get the one before. */
function alternating(): CallboardClient {
  const origins = [server.baseUrl, other.baseUrl];
  return createClient({
    baseUrl: "http://callboard.test",
    token: server.token,
    headers: { connection: "close" },
    async fetch(url, init) {
      const at = origins[asked.length % 2] as string;
      const target = String(url).replace("http://callboard.test", at);
      const one = { at, request: `${init?.method} ${new URL(target).pathname}`, connection: null as string | null };
      asked.push(one);
      const response = await fetch(target, init);
      one.connection = response.headers.get("connection");
      return response;
    },
  });
}

beforeAll(async () => {
  server = await startTestServer({ agents: { slow: { name: "Slow" } }, endpoints, onLog: () => {} });
  other = await server.second();
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});
beforeEach(() => {
  gate = later();
  asked = [];
  server.model.script("slow", () => ({ steps: [{ text: "the answer" }, { until: gate.promise }] }));
});

test.each(["polls", "within"])("a call of %s has its answer, whichever server is asked", async (path) => {
  for (const text of ["one", "two"]) {
    const before = server.model.calls("slow").length;
    const client = alternating();
    const answer = client.endpoints.call<{ said: string }>(path, { text });
    await eventually(() => server.model.calls("slow").length > before);
    await eventually(() => asked.some(({ request }) => request.startsWith("GET /api/v1/jobs/")));
    gate.resolve();
    expect(await answer).toEqual({ said: "the answer" });
    gate = later();
  }
  expect(new Set(asked.map(({ at }) => at)).size).toBe(2);
  expect(new Set(asked.map(({ connection }) => connection))).toEqual(new Set(["close"]));
});

test("calls without a key join one job, and the signal of one of them leaves it alone", async () => {
  const before = (await runsOf(server)).length;
  const stop = new AbortController();
  const ask = (signal?: AbortSignal) =>
    alternating().endpoints.call<{ said: string }>("polls", { text: "shared" }, { idempotencyKey: null, signal });
  const [left, stayed] = [ask(stop.signal), ask()];
  left.catch(() => {});
  await eventually(() => asked.filter(({ request }) => request.startsWith("GET /api/v1/jobs/")).length >= 2);
  stop.abort(new Error("enough"));
  await expect(left).rejects.toThrow("enough");
  gate.resolve();
  expect(await stayed).toEqual({ said: "the answer" });
  expect((await runsOf(server)).length).toBe(before + 1);
});

test("a signal that is aborted cancels the job on whichever server", async () => {
  const stop = new AbortController();
  const before = server.model.calls("slow").length;
  const answer = alternating().endpoints.call("polls", { text: "never" }, { signal: stop.signal });
  answer.catch(() => {});
  await eventually(() => server.model.calls("slow").length > before);
  await eventually(() => asked.some(({ request }) => request.startsWith("GET /api/v1/jobs/")));
  stop.abort(new Error("enough"));
  await expect(answer).rejects.toThrow("enough");
  expect(asked.at(-1)?.request).toMatch(/^DELETE/);
  await eventually(async () => (await runsOf(server))[0]?.state === "canceled");
});

test("a job is followed across servers, each event once", async () => {
  const accepted = await fetch(`${server.baseUrl}/endpoints/polls`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" },
    body: JSON.stringify({ text: "followed" }),
  });
  const { job_id: id } = (await accepted.json()) as { job_id: string };
  const events: JobEvent[] = [];
  for (let afterSeq = 0; events.length < 3; afterSeq = events.at(-1)?.seq ?? 0) {
    // Leaves after each event and comes again elsewhere.
    for await (const event of alternating().jobs.follow(id, { afterSeq })) {
      events.push(event);
      if (event.type === "job.status") gate.resolve();
      break;
    }
  }
  expect(events.map(({ seq, type }) => [seq, type])).toEqual([
    [1, "job.started"],
    [2, "job.status"],
    [3, "job.completed"],
  ]);
  for await (const event of alternating().jobs.follow(id, { afterSeq: 3 })) throw new Error(`and then ${event.type}`);
});
