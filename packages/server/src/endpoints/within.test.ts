/** C5, C6: sync calls that turn into jobs, and jobs that end because nobody asks for them. */
import { defineEndpoint } from "@callboard/kit";
import { type JobId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { HttpClient } from "../testing/http-client.ts";
import { say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later, runsOf } from "./fixture.ts";

const input = z.strictObject({ text: z.string() });
const common = { method: "POST", input, output: z.strictObject({ said: z.string() }) } as const;
const ask = (agent: string) =>
  defineEndpoint({
    ...common,
    mode: "sync",
    answerWithinMs: agent === "slow" ? 300 : 30_000,
    handle: async ({ input, runAgent }) => ({
      said: String((await runAgent(agent, { message: input.text })).output()),
    }),
  });
const endpoints = {
  quick: ask("echo"),
  broken: ask("broken"),
  slow: ask("slow"),
  patient: ask("slow-too"),
  watched: defineEndpoint({
    ...common,
    mode: "polling",
    abandonAfterMs: 120_000,
    handle: async ({ input, runAgent }) => ({
      said: String((await runAgent("slow", { message: input.text })).output()),
    }),
  }),
};

let gate = later();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    agents: { echo: { name: "E" }, broken: { name: "B" }, slow: { name: "S" }, "slow-too": { name: "T" } },
    endpoints,
    onLog: () => {},
  });
  server.model.script("broken", () => ({ status: 400 }));
});
afterAll(() => server.stop());
beforeEach(() => {
  gate = later();
  for (const model of ["slow", "slow-too"]) {
    server.model.script(model, () => ({ steps: [{ text: "at last" }, { until: gate.promise }] }));
  }
});

const job = async (id: string, wait = 0) => (await server.client().get(`/jobs/${id}?wait=${wait}`)).body;
const count = async (what: string, values: unknown[] = []) =>
  (await server.row<{ n: number }>(`select count(*)::int as n from ${what}`, values)).n;
const uuid = (id: string) => toUuid(id as JobId);
/** A call of `patient` whose model is being asked, and how its client leaves. */
async function begin(text: string, headers: Record<string, string> = {}) {
  const before = server.model.calls("slow-too").length;
  const abort = new AbortController();
  const answer = call(server, "patient", { text }, { signal: abort.signal, headers });
  answer.catch(() => {});
  await eventually(() => server.model.calls("slow-too").length > before);
  return { answer, leave: () => abort.abort() };
}

describe("a sync endpoint with answerWithinMs", () => {
  test("answers as one without it when it is quick, also with a refusal", async () => {
    const done = await call(server, "quick", { text: "hello" });
    expect([done.status, done.body]).toEqual([200, { said: "You said: hello" }]);
    const refused = await call(server, "broken", { text: "x" });
    expect([refused.status, refused.body.error.code]).toEqual([502, "model_rejected"]);
    expect((await call(server, "quick", { text: 7 })).status).toBe(422);
  });

  test("answers with a job when it takes longer, and goes on", async () => {
    const accepted = await call(server, "slow", { text: "long" });
    expect([accepted.status, accepted.body.state]).toEqual([202, "running"]);
    expect(accepted.headers.get("location")).toBe(`/api/v1/jobs/${accepted.body.job_id}`);
    expect(accepted.headers.get("retry-after")).toBe("1");
    gate.resolve();
    expect((await job(accepted.body.job_id, 60)).result).toEqual({ said: "at last" });
  });

  test("loses nothing when the process dies while its client waits", async () => {
    const first = await begin("crash");
    const { id } = await server.row<{ id: string }>("select id from jobs where state = 'running'");
    await server.row("update jobs set lease_owner = gen_random_uuid() where id = $1", [id]);
    const again = call(server, "patient", { text: "crash" });
    await eventually(async () => (await count("jobs where id = $1 and attempt = 2", [id])) === 1);
    gate.resolve();
    expect((await again).body).toEqual({ said: "at last" });
    expect((await first.answer).body).toEqual({ said: "at last" });
    expect((await runsOf(server))[0]?.state).toBe("completed");
  });

  test("is canceled by a client that leaves before its answer", async () => {
    const { leave } = await begin("leaves");
    leave();
    await server.model.calls("slow-too").at(-1)?.left;
    await eventually(async () => (await runsOf(server))[0]?.state === "canceled");
  });

  test("is not canceled by one of two that wait for it", async () => {
    const first = await begin("first of two");
    const second = call(server, "patient", { text: "first of two" });
    await eventually(async () => (await count("jobs where shared and state = 'running'")) === 1);
    first.leave();
    await first.answer.catch(() => undefined);
    gate.resolve();
    expect((await second).body).toEqual({ said: "at last" });
  });

  test("with a key repeats its answer, is free again when the client leaves, and shows its job when that goes on", async () => {
    const key = (name: string) => ({ "idempotency-key": name });
    const once = await call(server, "quick", { text: "k" }, { headers: key("w1") });
    const before = server.model.calls("echo").length;
    const again = await call(server, "quick", { text: "k" }, { headers: key("w1") });
    expect([again.status, again.body, again.headers.get("idempotency-replayed")]).toEqual([200, once.body, "true"]);
    expect(server.model.calls("echo")).toHaveLength(before);

    (await begin("k2", key("w2"))).leave();
    await eventually(async () => (await count("idempotency_keys where key = 'w2'")) === 0);

    const accepted = await call(server, "slow", { text: "k3" }, { headers: key("w3") });
    expect(accepted.status).toBe(202);
    gate.resolve();
    await job(accepted.body.job_id, 60);
    const done = await call(server, "slow", { text: "k3" }, { headers: key("w3") });
    expect([done.status, done.body, done.headers.get("idempotency-replayed")]).toEqual([
      200,
      { said: "at last" },
      "true",
    ]);
  });
});

describe("a job that nobody asks for", () => {
  const past = "update jobs set abandon_at = now() - interval '1 second' where id = $1";

  test("is canceled with its run, by any process", async () => {
    const { body } = await call(server, "watched", { text: "alone" });
    await eventually(async () => (await job(body.job_id)).state === "running");
    await server.row(past, [uuid(body.job_id)]);
    const ended = await eventually(async () => {
      const state = await server.row<{ state: string }>("select state from jobs where id = $1", [uuid(body.job_id)]);
      return state.state === "canceled" ? job(body.job_id) : undefined;
    });
    expect(ended.error).toMatchObject({ code: "job_abandoned", retryable: true, status: 409 });
    await eventually(async () => (await runsOf(server))[0]?.state === "canceled");
  });

  test("goes on while somebody polls, waits for or follows it, on any server", async () => {
    const other = await server.second();
    try {
      const { body } = await call(server, "watched", { text: "read" });
      const left = async () =>
        (
          await server.row<{ ms: number }>(
            "select (extract(epoch from abandon_at - now()) * 1000)::int as ms from jobs where id = $1",
            [uuid(body.job_id)],
          )
        ).ms;
      const soon = () =>
        server.row("update jobs set abandon_at = now() + interval '60 seconds' where id = $1", [uuid(body.job_id)]);
      await soon();
      await job(body.job_id);
      expect(await left()).toBeGreaterThan(60_000);

      const there = new HttpClient(other.baseUrl, { token: server.token });
      const reader = await there.stream(`/jobs/${body.job_id}/stream`);
      await reader.take(1);
      await soon();
      await eventually(async () => (await left()) > 60_000);
      reader.close();

      const waiting = there.get(`/jobs/${body.job_id}?wait=60`);
      await soon();
      await eventually(async () => (await left()) > 60_000);
      gate.resolve();
      expect((await waiting).body.state).toBe("completed");
    } finally {
      await other.stop();
    }
  });

  test("a poll whose client leaves does not cancel it", async () => {
    const { body } = await call(server, "watched", { text: "left poll" });
    const abort = new AbortController();
    const poll = server.client().get(`/jobs/${body.job_id}?wait=60`, { signal: abort.signal });
    await eventually(async () => (await job(body.job_id)).state === "running");
    abort.abort();
    await poll.catch(() => undefined);
    gate.resolve();
    expect((await job(body.job_id, 60)).state).toBe("completed");
  });
});

describe("deleting a thread", () => {
  const threadOf = async (agent: string) => (await server.client().get(`/agents/${agent}/threads`)).body.data[0].id;
  const remove = async (thread: string) => (await server.client().delete(`/threads/${thread}`)).status;

  test("deletes the jobs whose runs lived in it, with their events and what repeats would be told", async () => {
    gate.resolve();
    const headers = { "idempotency-key": "deleted" };
    const { body } = await call(server, "watched", { text: "gone" }, { headers });
    expect((await job(body.job_id, 60)).state).toBe("completed");
    expect(await remove(await threadOf("slow"))).toBe(204);
    expect((await server.client().get(`/jobs/${body.job_id}`)).body.error.code).toBe("not_found");
    expect((await server.client().get(`/jobs/${body.job_id}/stream`)).status).toBe(404);
    expect(await count("job_events where job_id = $1", [uuid(body.job_id)])).toBe(0);
    expect(await count("idempotency_keys where job_id = $1", [uuid(body.job_id)])).toBe(0);
  });

  test("deletes the stored answers of calls that waited", async () => {
    const withKey = { headers: { "idempotency-key": "answer" } };
    expect((await call(server, "quick", { text: "secret" }, withKey)).status).toBe(200);
    expect(await count("idempotency_keys where key = 'answer'")).toBe(1);
    await remove(await threadOf("echo"));
    expect(await count("idempotency_keys where key = 'answer'")).toBe(0);
  });

  test("ends a job under way: nothing is left of it, and its handler stops", async () => {
    const before = server.model.calls("slow").length;
    const id = (await call(server, "watched", { text: "under way" })).body.job_id;
    await eventually(() => server.model.calls("slow").length > before);
    const reader = await server.client().stream(`/jobs/${id}/stream`);
    await reader.take(1);
    await remove(await threadOf("slow"));
    expect(await reader.next()).toBeUndefined();
    expect((await server.client().get(`/jobs/${id}`)).status).toBe(404);
    await server.model.calls("slow").at(-1)?.left;
  });

  test("leaves other jobs alone", async () => {
    server.model.script("slow", () => say("kept"));
    const first = (await call(server, "watched", { text: "one" })).body.job_id;
    await job(first, 60);
    const second = (await call(server, "watched", { text: "two" })).body.job_id;
    await job(second, 60);
    await remove(await threadOf("slow"));
    expect((await job(first)).result).toEqual({ said: "kept" });
    expect((await server.client().get(`/jobs/${second}`)).status).toBe(404);
  });
});
