/** C5, C6: calls in polling mode, on two servers with one database. */
import { defineEndpoint } from "@callboard/kit";
import { type JobId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later, runsOf } from "./fixture.ts";

const input = z.strictObject({ text: z.string().min(1), note: z.string().optional() });
const output = z.strictObject({ said: z.string() });
const polling = { method: "POST", mode: "polling", input, output } as const;

let gate = later();
/** How often a handler began, by the text it was given. */
const handled = new Map<string, number>();
const count = (text: string): number => {
  handled.set(text, (handled.get(text) ?? 0) + 1);
  return handled.get(text) as number;
};

const endpoints = {
  ask: defineEndpoint({
    ...polling,
    async handle({ input, runAgent, relayStatus, caller }) {
      relayStatus("asking", { progress: 0.5, data: { for: caller.email } });
      const run = await runAgent("echo", { message: input.text });
      return { said: String(run.output()) };
    },
  }),
  gated: defineEndpoint({
    ...polling,
    async handle({ input, signal }) {
      count(input.text);
      await Promise.race([
        gate.promise,
        new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason))),
      ]);
      return { said: input.text };
    },
  }),
  slow: defineEndpoint({
    ...polling,
    async handle({ input, runAgent, relayStatus }) {
      const attempt = count(input.text);
      relayStatus(`attempt ${attempt}`);
      const first = await runAgent("first", { message: `one of attempt ${attempt}` });
      const second = await runAgent("slow", { message: "two" });
      return { said: `${first.output()} ${second.output()}` };
    },
  }),
  brief: defineEndpoint({
    ...polling,
    timeoutMs: 4000,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("slow", { message: "m" })).output()) }),
  }),
  fails: defineEndpoint({
    ...polling,
    handle: async ({ runAgent }) => ({ said: String((await runAgent("broken", { message: "m" })).output()) }),
  }),
  "answers-wrong": defineEndpoint({ ...polling, handle: () => ({ said: 7 }) as never }),
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    agents: { echo: { name: "Echo" }, first: { name: "First" }, slow: { name: "Slow" }, broken: { name: "Broken" } },
    endpoints,
    onLog: () => {},
  });
  server.model.script("first", () => say("one"));
  server.model.script("broken", () => ({ status: 400 }));
});
afterAll(() => server.stop());
beforeEach(() => {
  gate = later();
  server.model.script("slow", () => ({ steps: [{ text: "two" }, { until: gate.promise }] }));
});

const job = async (id: string, waitSeconds = 0, client = server.client()) =>
  (await client.get(`/jobs/${id}`, waitSeconds === 0 ? {} : { headers: { prefer: `wait=${waitSeconds}` } })).body;

const ownerOf = async (id: string) =>
  (
    await server.row<{ lease_owner: string | null }>("select lease_owner from jobs where id = $1", [
      toUuid(id as JobId),
    ])
  ).lease_owner;

const attemptOf = async (id: string) =>
  (await server.row<{ attempt: number }>("select attempt from jobs where id = $1", [toUuid(id as JobId)])).attempt;

/** What a killed process leaves behind: a lease whose worker is gone. */
const orphan = (id: string) =>
  server.row("update jobs set lease_owner = gen_random_uuid() where id = $1", [toUuid(id as JobId)]);

describe("a call in polling mode", () => {
  test("is answered at once with a job, whose result can be read again and again", async () => {
    const accepted = await call(server, "ask", { text: "hello" });
    expect(accepted.status).toBe(202);
    expect(accepted.body).toEqual({ job_id: expect.stringMatching(/^job_/), state: "queued", status: null });
    expect(accepted.headers.get("location")).toBe(`/api/v1/jobs/${accepted.body.job_id}`);
    expect(accepted.headers.get("retry-after")).toBe("1");

    const done = await job(accepted.body.job_id, 60);
    expect(done).toMatchObject({
      job_id: accepted.body.job_id,
      endpoint: "/endpoints/ask",
      state: "completed",
      status: { text: "asking", progress: 0.5, data: { for: expect.stringContaining("@") } },
      result: { said: "You said: hello" },
      created_by: { kind: "user", id: server.ownerId },
    });
    expect(Date.parse(done.expires_at) - Date.parse(done.ended_at)).toBe(3_600_000);
    expect(await job(done.job_id)).toEqual(done);
  });

  test("refuses bad input at once, without a job", async () => {
    const refused = await call(server, "brief", { text: "" });
    expect([refused.status, refused.body.error.details.fields[0].path]).toEqual([422, "text"]);
    expect(await server.row("select count(*)::int as n from jobs where state in ('queued', 'running')")).toEqual({
      n: 0,
    });
  });

  test("shows what its handler says meanwhile, and when to ask again", async () => {
    const { body } = await call(server, "slow", { text: "x" });
    await eventually(async () => (await job(body.job_id)).status?.text === "attempt 1");
    const answer = await server.client().get(`/jobs/${body.job_id}`);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(answer.body).toMatchObject({ state: "running", ended_at: null, expires_at: null });
    gate.resolve();
    expect((await job(body.job_id, 60)).result).toEqual({ said: "one two" });
  });

  test("fails with what a call that waits would have been refused with", async () => {
    const failed = await job((await call(server, "fails", { text: "x" })).body.job_id, 60);
    expect(failed).toMatchObject({ state: "failed", error: { code: "model_rejected", status: 502, retryable: false } });
    expect(failed).not.toHaveProperty("result");
    const wrong = await job((await call(server, "answers-wrong", { text: "x" })).body.job_id, 60);
    expect(wrong.error).toMatchObject({ code: "endpoint_output_invalid", status: 500 });
  });

  test("is forgotten when its result has expired", async () => {
    const done = await job((await call(server, "ask", { text: "soon gone" })).body.job_id, 60);
    await server.row("update jobs set expires_at = now() - interval '1 second'");
    expect((await server.client().get(`/jobs/${done.job_id}`)).status).toBe(404);
  });
});

describe("a repeat of the same request", () => {
  test("joins the job under way, also with the fields in another order", async () => {
    const first = await call(server, "gated", { text: "same", note: "n" });
    const again = await call(server, "gated", { note: "n", text: "same" });
    expect(again.body.job_id).toBe(first.body.job_id);
    const other = await call(server, "gated", { text: "other" });
    expect(other.body.job_id).not.toBe(first.body.job_id);
    gate.resolve();
    await job(first.body.job_id, 60);
    expect((await call(server, "gated", { text: "same", note: "n" })).body.job_id).not.toBe(first.body.job_id);
  });

  test("in another language is another request", async () => {
    const ask = (headers: Record<string, string>) => call(server, "gated", { text: "which" }, { headers });
    const [any, german, again] = [
      await ask({}),
      await ask({ "accept-language": "de" }),
      await ask({ "accept-language": "de" }),
    ];
    expect(german.body.job_id).not.toBe(any.body.job_id);
    expect(again.body.job_id).toBe(german.body.job_id);
    gate.resolve();
  });

  test("of several at once is one job", async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => call(server, "gated", { text: "together" })));
    expect(new Set(answers.map(({ body }) => body.job_id)).size).toBe(1);
    gate.resolve();
    await job(answers[0]?.body.job_id, 60);
    expect(handled.get("together")).toBe(1);
  });

  test("by another caller is another job", async () => {
    const { token } = await server.person("member");
    const mine = await call(server, "gated", { text: "whose" });
    const theirs = await call(server, "gated", { text: "whose" }, { token });
    expect(theirs.body.job_id).not.toBe(mine.body.job_id);
    gate.resolve();
  });

  test("with an Idempotency-Key gets the same job also when it has ended; another key is another job", async () => {
    const withKey = (key: string) => ({ headers: { "idempotency-key": key } });
    const first = await call(server, "ask", { text: "keyed" }, withKey("a"));
    const other = await call(server, "ask", { text: "keyed" }, withKey("b"));
    expect(other.body.job_id).not.toBe(first.body.job_id);
    await job(first.body.job_id, 60);
    const again = await call(server, "ask", { text: "keyed" }, withKey("a"));
    expect([again.status, again.body]).toEqual([202, first.body]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.headers.get("location")).toBe(`/api/v1/jobs/${first.body.job_id}`);
    expect((await call(server, "ask", { text: "else" }, withKey("a"))).body.error.code).toBe("idempotency_conflict");
  });
});

describe("a job", () => {
  test("is there for its creator and for admins, who are noted", async () => {
    const { token } = await server.person("member");
    const stranger = server.client((await server.person("member")).token);
    const { body } = await call(server, "ask", { text: "private" }, { token });
    expect((await job(body.job_id, 60, server.client(token))).state).toBe("completed");
    expect((await stranger.get(`/jobs/${body.job_id}`)).status).toBe(404);
    expect((await stranger.delete(`/jobs/${body.job_id}`)).status).toBe(404);
    expect((await server.client().get(`/jobs/${body.job_id}`)).status).toBe(200);
    const audited = await server.client().get("/audit");
    expect(audited.body.data[0]).toMatchObject({ action: "job.read_as_admin", target: body.job_id });
    const elsewhere = await server.organization();
    expect((await elsewhere.client().get(`/jobs/${body.job_id}`)).status).toBe(404);
    const none = await server.client().get("/jobs/job_01h455vb4pex5vsknk084sn02q");
    expect([none.status, none.body.error.code]).toEqual([404, "not_found"]);
    expect((await server.client().get("/jobs/nonsense")).status).toBe(404);
  });

  test("does not run for a caller whose token was revoked", async () => {
    const made = await server.client().post("/tokens", { label: "short" });
    const {
      secret: token,
      token: { id },
    } = made.body;
    const { body } = await call(server, "gated", { text: "revoked" }, { token });
    await eventually(() => handled.get("revoked") === 1);
    await server.client().post(`/tokens/${id}/revoke`);
    await orphan(body.job_id);
    expect((await job(body.job_id, 60)).error).toMatchObject({ code: "unauthenticated", status: 401 });
  });
});

describe("canceling", () => {
  test("stops the run, the model call and the handler; a repeat changes nothing", async () => {
    const before = server.model.calls("slow").length;
    const { body } = await call(server, "slow", { text: "cancel me" });
    await eventually(() => server.model.calls("slow").length > before);
    const canceled = await server.client().delete(`/jobs/${body.job_id}`);
    expect([canceled.status, canceled.body.state, canceled.body.error.code]).toEqual([200, "canceled", "canceled"]);
    await server.model.calls("slow").at(-1)?.left;
    expect((await runsOf(server))[0]).toMatchObject({ state: "canceled", error: { code: "canceled" } });
    expect((await server.client().delete(`/jobs/${body.job_id}`)).body).toEqual(canceled.body);
    expect(await job(body.job_id, 5)).toEqual(canceled.body);
  });

  test("a job whose time is up fails, and its run is canceled", async () => {
    const failed = await job((await call(server, "brief", { text: "x" })).body.job_id, 60);
    expect(failed.error).toMatchObject({ code: "endpoint_timeout", status: 504 });
    expect((await runsOf(server))[0]?.state).toBe("canceled");
  });

  test("a job that has ended stays as it is", async () => {
    const done = await job((await call(server, "ask", { text: "done" })).body.job_id, 60);
    expect((await server.client().delete(`/jobs/${done.job_id}`)).body).toEqual(done);
  });
});

describe("with two servers", () => {
  test("any of them answers for a job, waits for its end and cancels it", async () => {
    const other = await server.second();
    try {
      const here = { baseUrl: server.baseUrl, token: server.token };
      const there = { baseUrl: other.baseUrl, token: server.token };
      const ask = (at: typeof here, path: string, init: RequestInit = {}) =>
        fetch(`${at.baseUrl}/api/v1${path}`, {
          ...init,
          headers: { authorization: `Bearer ${at.token}`, ...init.headers },
        }).then((response) => response.json());

      const first = (await call(here, "gated", { text: "both" })).body;
      expect((await call(there, "gated", { text: "both" })).body.job_id).toBe(first.job_id);
      const waiting = [here, there].map((at) => ask(at, `/jobs/${first.job_id}`, { headers: { prefer: "wait=60" } }));
      gate.resolve();
      for (const done of await Promise.all(waiting)) expect(done).toMatchObject({ result: { said: "both" } });
      expect(handled.get("both")).toBe(1);

      gate = later();
      for (const [at, elsewhere] of [
        [here, there],
        [there, here],
      ] as const) {
        const before = server.model.calls("slow").length;
        const second = (await call(at, "slow", { text: "both" })).body;
        await eventually(() => server.model.calls("slow").length > before);
        expect((await ask(elsewhere, `/jobs/${second.job_id}`, { method: "DELETE" })).state).toBe("canceled");
        await server.model.calls("slow").at(-1)?.left;
        expect((await runsOf(server))[0]?.state).toBe("canceled");
      }
    } finally {
      await other.stop();
    }
  });

  test("a server that stops hands its jobs over: the handler runs again and joins its runs", async () => {
    const other = await server.second();
    const there = { baseUrl: other.baseUrl, token: server.token };
    const [firsts, slows] = [server.model.calls("first").length, server.model.calls("slow").length];
    const { body } = await call(there, "slow", { text: "handed over" });
    await eventually(() => server.model.calls("slow").length > slows);
    const isOther = (await ownerOf(body.job_id)) === other.app.engine.lease();
    await other.stop();
    gate.resolve();
    expect((await job(body.job_id, 60)).result).toEqual({ said: "one two" });
    expect(handled.get("handed over")).toBe(isOther ? 2 : 1);
    expect(server.model.calls("first")).toHaveLength(firsts + 1);
    expect((await runsOf(server)).slice(0, 2).map(({ state }) => state)).toEqual(["completed", "completed"]);
  });
});

test("a job whose process died is run again, and its n-th runAgent joins the n-th run", async () => {
  const firsts = server.model.calls("first").length;
  const slows = server.model.calls("slow").length;
  const { body } = await call(server, "slow", { text: "crash" });
  await eventually(() => server.model.calls("slow").length > slows);
  const runs = (await runsOf(server)).slice(0, 2).map(({ id }) => id);
  await orphan(body.job_id);
  await eventually(() => handled.get("crash") === 2);
  gate.resolve();
  const done = await job(body.job_id, 60);
  expect(done).toMatchObject({ state: "completed", result: { said: "one two" }, status: { text: "attempt 2" } });
  expect((await runsOf(server)).slice(0, 2).map(({ id }) => id)).toEqual(runs);
  expect(server.model.calls("first")).toHaveLength(firsts + 1);
  expect(server.model.calls("slow")).toHaveLength(slows + 1);
});

test("a job that kills its process again and again is given up, and its runs are canceled", async () => {
  const slows = server.model.calls("slow").length;
  const { body } = await call(server, "slow", { text: "deadly" });
  await eventually(() => server.model.calls("slow").length > slows);
  for (let crash = 1; crash <= 3; crash++) {
    await orphan(body.job_id);
    await eventually(async () => (await attemptOf(body.job_id)) > crash);
  }
  expect((await job(body.job_id, 60)).error).toMatchObject({ code: "crash_loop", status: 500 });
  await eventually(async () => (await runsOf(server))[0]?.state === "canceled");
});
