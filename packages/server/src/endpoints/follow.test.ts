/** C5: what a handler says is seen in the poll, on the job's stream and in the logs of its runs. */
import { defineEndpoint } from "@callboard/kit";
import { type JobId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { HttpClient } from "../testing/http-client.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later } from "./fixture.ts";

const input = z.strictObject({ text: z.string() });
const polling = { method: "POST", mode: "polling", input, output: z.string() } as const;

let gate = later();
const endpoints = {
  /** Says a line, runs an agent that waits for the gate, says another one meanwhile, and a last one. */
  tells: defineEndpoint({
    ...polling,
    async handle({ input, runAgent, relayStatus }) {
      relayStatus("reading", { progress: -1, data: { n: 1 } });
      const run = runAgent("slow", { message: input.text });
      await said.promise;
      relayStatus("asking", { progress: 0.5 });
      const text = String((await run).output());
      relayStatus("done", { progress: 7 });
      return text;
    },
  }),
  many: defineEndpoint({
    ...polling,
    async handle({ relayStatus }) {
      for (let i = 1; i <= 1500; i++) {
        relayStatus(`line ${i}`);
        if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return "said";
    },
  }),
  gated: defineEndpoint({
    ...polling,
    async handle({ relayStatus, signal }) {
      relayStatus("waiting");
      await Promise.race([
        gate.promise,
        new Promise((_, no) => signal.addEventListener("abort", () => no(signal.reason))),
      ]);
      return "went on";
    },
  }),
  "says-too-much": defineEndpoint({
    ...polling,
    handle: ({ input, relayStatus }) => {
      relayStatus("x", { data: input.text === "big" ? "x".repeat(20_000) : (10n as never) });
      return "never";
    },
  }),
  "tells-at-once": defineEndpoint({
    ...polling,
    mode: "sync",
    async handle({ runAgent, relayStatus }) {
      relayStatus("before");
      const run = runAgent("slow", { message: "sync" });
      await said.promise;
      relayStatus("meanwhile");
      return (await run).threadId;
    },
  }),
};

let said = later();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ agents: { slow: { name: "Slow" } }, endpoints, onLog: () => {} });
});
afterAll(() => server.stop());
beforeEach(() => {
  gate = later();
  said = later();
  server.model.script("slow", () => ({ steps: [{ text: "the answer" }, { until: gate.promise }] }));
});

const isOver = ({ event }: { event: string }) => /^job\.(completed|failed|canceled)$/.test(event);
const stream = (id: string, sending = {}, client = server.client()) => client.stream(`/jobs/${id}/stream`, sending);
const whole = async (id: string, sending = {}, client = server.client()) =>
  (await stream(id, sending, client)).until(isOver);
const relayedIn = async (thread: string) =>
  (await server.client().get(`/threads/${thread}/events?types=status.relayed`)).body.data;

/** A job of `tells` that has said all it has to say. */
async function told(): Promise<{ id: string; thread: string }> {
  const before = server.model.calls("slow").length;
  const { body } = await call(server, "tells", { text: `told ${before}` });
  await eventually(() => server.model.calls("slow").length > before);
  said.resolve();
  const thread = (await server.client().get("/agents/slow/threads")).body.data[0].id;
  await eventually(async () => (await relayedIn(thread)).length === 1);
  gate.resolve();
  await server.client().get(`/jobs/${body.job_id}?wait=60`);
  return { id: body.job_id, thread };
}

describe("what a handler says", () => {
  test("is the job's status, the job's events, and in the log of the run that goes on", async () => {
    const { id, thread } = await told();
    const job = (await server.client().get(`/jobs/${id}`)).body;
    expect(job).toMatchObject({ state: "completed", status: { text: "done", progress: 1 }, last_seq: 5 });

    const frames = await whole(id);
    expect(frames.map(({ data }) => JSON.parse(data))).toEqual([
      { seq: 1, job_id: id, type: "job.started", data: { attempt: 1 }, created_at: expect.any(String) },
      expect.objectContaining({ type: "job.status", data: { text: "reading", progress: 0, data: { n: 1 } } }),
      expect.objectContaining({ type: "job.status", data: { text: "asking", progress: 0.5 } }),
      expect.objectContaining({ type: "job.status", data: { text: "done", progress: 1 } }),
      { seq: 5, job_id: id, type: "job.completed", data: { result: "the answer" }, created_at: job.ended_at },
    ]);
    expect(frames.map(({ id, event }) => `${id} ${event}`)[4]).toBe("5 job.completed");

    const { data } = (await server.client().get(`/threads/${thread}/events`)).body;
    const relayed = data.filter(({ type }: { type: string }) => type === "status.relayed");
    expect(relayed).toMatchObject([{ data: { text: "asking", progress: 0.5 }, run_id: data[1].run_id }]);
    expect(data.at(-1).type).toBe("run.completed"); // nothing follows the end of the run
    expect(data.map(({ seq }: { seq: number }) => seq)).toEqual(data.map((_: unknown, i: number) => i + 1));
  });

  test("in a call that waits for its answer is in the log of its run", async () => {
    const before = server.model.calls("slow").length;
    const answer = call(server, "tells-at-once", { text: "x" });
    await eventually(() => server.model.calls("slow").length > before);
    said.resolve();
    const thread = (await server.client().get("/agents/slow/threads")).body.data[0].id;
    const [meanwhile] = await eventually(async () =>
      (await relayedIn(thread)).length === 1 ? relayedIn(thread) : null,
    );
    expect(meanwhile.data).toEqual({ text: "meanwhile" });
    gate.resolve();
    expect((await answer).body).toBe(thread);
  });

  test("is kept up to a thousand lines, and the numbers tell what is gone", async () => {
    const { body } = await call(server, "many", { text: "x" });
    const job = (await server.client().get(`/jobs/${body.job_id}?wait=60`)).body;
    expect(job.status.text).toBe("line 1500");
    const frames = await whole(body.job_id);
    const seqs = frames.map(({ id }) => Number(id));
    expect(seqs.at(-1)).toBe(job.last_seq);
    expect(seqs.length).toBeLessThan(1150);
    expect(seqs).toEqual(seqs.map((_, i) => (seqs[0] as number) + i));
    expect(JSON.parse(frames.at(-2)?.data as string).data.text).toBe("line 1500");
  });

  test.each(["big", "no json"])("with data that is no small JSON (%s) is an error of the handler", async (text) => {
    const { body } = await call(server, "says-too-much", { text });
    const job = (await server.client().get(`/jobs/${body.job_id}?wait=60`)).body;
    expect(job).toMatchObject({ state: "failed", status: null, error: { code: "internal" } });
  });
});

describe("a job's stream", () => {
  test("gives the same bytes again, from any place, on any server", async () => {
    const other = await server.second();
    try {
      const { id } = await told();
      const first = await whole(id);
      const there = new HttpClient(other.baseUrl, { token: server.token });
      expect(await whole(id, {}, there)).toEqual(first);
      for (let seq = 0; seq < first.length - 1; seq++) {
        expect(await whole(id, { headers: { "last-event-id": String(seq + 1) } })).toEqual(first.slice(seq + 1));
        expect(await whole(id, { query: { after_seq: seq } }, there)).toEqual(first.slice(seq));
      }
      const nothing = await there.get(`/jobs/${id}/stream`, { headers: { "last-event-id": String(first.length) } });
      expect([nothing.status, nothing.text]).toEqual([204, ""]);
    } finally {
      await other.stop();
    }
  });

  test("goes on while the job does, here and on another server, and ends with it", async () => {
    const other = await server.second();
    try {
      const { body } = await call(server, "gated", { text: "followed" });
      const there = new HttpClient(other.baseUrl, { token: server.token });
      const readers = [await stream(body.job_id), await stream(body.job_id, {}, there)];
      for (const reader of readers) {
        expect((await reader.take(2)).map(({ event }) => event)).toEqual(["job.started", "job.status"]);
      }
      gate.resolve();
      for (const reader of readers) {
        expect((await reader.next())?.event).toBe("job.completed");
        expect(await reader.next()).toBeUndefined();
      }
    } finally {
      await other.stop();
    }
  });

  test("tells of a cancel and of a second attempt", async () => {
    const { body } = await call(server, "gated", { text: "again" });
    const reader = await stream(body.job_id);
    await reader.take(2);
    await server.row("update jobs set lease_owner = gen_random_uuid() where id = $1", [toUuid(body.job_id as JobId)]);
    const [started, status] = await reader.take(2);
    expect(JSON.parse(started?.data as string).data).toEqual({ attempt: 2 });
    expect(status?.event).toBe("job.status");
    await server.client().delete(`/jobs/${body.job_id}`);
    const end = await reader.next();
    expect(JSON.parse(end?.data as string)).toMatchObject({
      type: "job.canceled",
      data: { error: { code: "canceled" } },
    });
    expect(await reader.next()).toBeUndefined();
  });

  test("is for those who may read the job, and closes when their token is revoked", async () => {
    const { token } = await server.person("member");
    const { body } = await call(server, "gated", { text: "mine" }, { token });
    const stranger = server.client((await server.person("member")).token);
    expect((await stranger.get(`/jobs/${body.job_id}/stream`)).status).toBe(404);
    const reader = await stream(body.job_id, {}, server.client(token));
    await reader.take(1);
    const { token_id: id } = (await server.client(token).get("/me")).body;
    await server.client(token).post(`/tokens/${id}/revoke`);
    while ((await reader.next()) !== undefined);
    gate.resolve();
  });
});

describe("waiting for a job", () => {
  test("with after_seq returns as soon as something more was said", async () => {
    const before = server.model.calls("slow").length;
    const { body } = await call(server, "tells", { text: "awaited" });
    await eventually(() => server.model.calls("slow").length > before);
    const wait = (seq: number) => server.client().get(`/jobs/${body.job_id}?wait=60&after_seq=${seq}`);
    const now = (await eventually(async () => ((await wait(0)).body.last_seq === 2 ? await wait(0) : undefined))).body;
    expect(now).toMatchObject({ state: "running", status: { text: "reading" } });
    const next = wait(2);
    said.resolve();
    expect((await next).body).toMatchObject({ state: "running", status: { text: "asking" }, last_seq: 3 });
    gate.resolve();
    expect((await server.client().get(`/jobs/${body.job_id}?wait=60`)).body.state).toBe("completed");
  });

  test("refuses a wait that is no number", async () => {
    const { body } = await call(server, "gated", { text: "x" });
    expect((await server.client().get(`/jobs/${body.job_id}?wait=soon`)).status).toBe(422);
    gate.resolve();
  });
});
