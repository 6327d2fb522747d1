/** I10: budgets stop runs before the model is called; usage is kept, and read by those it belongs to. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineTool } from "@callboard/kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

let server: TestServer;
let prices: string;
beforeAll(async () => {
  prices = await mkdtemp(join(tmpdir(), "callboard-prices-"));
  const table = { "openai-compatible": { priced: { input: 1e6, output: 2e6 } } };
  await writeFile(join(prices, "prices.json"), JSON.stringify(table));
  server = await startTestServer({
    tools: {
      ping: defineTool({ description: "Ping.", input: z.strictObject({}) as never, effect: "read", run: () => "pong" }),
    },
    agents: {
      priced: { name: "Priced", tools: ["ping"], limits: { max_output_tokens: 100 } },
      other: { name: "Other", limits: { max_output_tokens: 100 } },
      lead: { name: "Lead", agents: ["other"] },
    },
    env: { CALLBOARD_PRICES: join(prices, "prices.json") },
  });
});
afterAll(async () => {
  await server.stop();
  await rm(prices, { recursive: true });
});

const ask = async (client: HttpClient, agent: string, text = "hi"): Promise<Anything> => {
  const input = { type: "user.message", text };
  return (await client.post(`/agents/${agent}/runs`, { input }, { headers: { prefer: "wait=60" } })).body;
};
const day = { period: "day" } as const;

test("a budget that is used up ends runs before their model is called, and others go on", async () => {
  const owner = server.client();
  const { id: agent } = (await owner.get("/agents/priced")).body;
  const made = await owner.post("/budgets", { ...day, subject: { kind: "agent", id: agent }, limit_tokens: 400 });
  expect(made.status).toBe(201);
  expect((await ask(owner, "priced")).state).toBe("completed");
  const listed = (await owner.get("/budgets")).body.data.find(({ id }: Anything) => id === made.body.id);
  expect(listed.used).toEqual({ micros: 13, tokens: 10, reserved_micros: 0, reserved_tokens: 0 });
  await owner.patch(`/budgets/${made.body.id}`, { limit_tokens: 20 });
  const calls = server.model.calls("priced").length;
  const stopped = await ask(owner, "priced");
  expect(stopped).toMatchObject({ state: "failed", error: { code: "budget_exceeded", retryable: true } });
  expect(stopped.error.message).toContain("the agent's budget of the day");
  expect(server.model.calls("priced").length).toBe(calls);
  expect((await ask(owner, "other")).state).toBe("completed");
  await owner.delete(`/budgets/${made.body.id}`);
  expect((await ask(owner, "priced")).state).toBe("completed");
});

test("a budget is asked before each model call of a run", async () => {
  const kim = await server.person("member");
  server.model.script("priced", ({ lastUser, toolResults }) =>
    lastUser === "ping" && toolResults.length === 0
      ? { ...callTool("ping"), usage: { input: 250, output: 50 } }
      : say("ok"),
  );
  const subject = { kind: "user", id: kim.userId };
  const made = (await server.client().post("/budgets", { period: "month", subject, limit_tokens: 400 })).body;
  const run = await ask(server.client(kim.token), "priced", "ping");
  expect(run).toMatchObject({ state: "failed", error: { code: "budget_exceeded" }, usage: { input_tokens: 250 } });
  await server.client().delete(`/budgets/${made.id}`);
});

test("an answer that is read and then canceled is paid for", async () => {
  const kim = await server.person("member");
  const asKim = server.client(kim.token);
  server.model.script("other", () => ({ steps: [{ text: "x".repeat(400) }, "hang"] }));
  const subject = { kind: "user", id: kim.userId };
  const made = (await server.client().post("/budgets", { ...day, subject, limit_tokens: 1000 })).body;
  const listed = async () =>
    (await server.client().get("/budgets")).body.data.find(({ id }: Anything) => id === made.id).used;
  const { id, thread_id } = (await asKim.post("/agents/other/runs", { input: { type: "user.message", text: "hi" } }))
    .body;
  const deltas = `/threads/${thread_id}/events?types=agent.message.delta`;
  while ((await asKim.get(deltas)).body.data.length === 0) await sleep(10);
  server.model.script("other", () => say("ok"));
  expect((await asKim.post(`/runs/${id}/cancel`)).status).toBe(202);
  let used = await listed();
  while (used.reserved_tokens > 0) used = await listed();
  expect(used.tokens).toBeGreaterThan(100);
  expect(used.tokens).toBeLessThan(200);
  await server.client().delete(`/budgets/${made.id}`);
});

test("children that are called side by side stay together within a budget", async () => {
  const owner = server.client();
  const calls = 8;
  server.model.script("lead", ({ toolResults }) =>
    toolResults.length > 0
      ? say("done")
      : { steps: Array.from({ length: calls }, () => ({ tool: "agent_other", input: { message: "hi" } })) },
  );
  server.model.script("other", () => ({ ...say("ok"), usage: { input: 50, output: 100 } }));
  const { id: agent } = (await owner.get("/agents/other")).body;
  const made = await owner.post("/budgets", { ...day, subject: { kind: "agent", id: agent }, limit_tokens: 600 });
  expect((await ask(owner, "lead")).state).toBe("completed");
  const { used } = (await owner.get("/budgets")).body.data.find(({ id }: Anything) => id === made.body.id);
  const states = (await owner.get("/runs", { query: { agent_id: agent, limit: 200 } })).body.data
    .filter(({ parent_run_id }: Anything) => parent_run_id !== null)
    .map(({ state, error }: Anything) => error?.code ?? state);
  expect(states).toHaveLength(calls);
  const done = states.filter((state: string) => state === "completed").length;
  expect(states.filter((state: string) => state === "budget_exceeded")).toHaveLength(calls - done);
  expect(used).toMatchObject({ tokens: done * 150, reserved_tokens: 0 });
  expect(done).toBeGreaterThan(0);
  expect(used.tokens).toBeLessThanOrEqual(600);
  await owner.delete(`/budgets/${made.body.id}`);
});

describe("a budget that asks", () => {
  async function waiting(client: HttpClient) {
    const input = { type: "user.message", text: "hi" };
    const { id, thread_id } = (await client.post("/agents/other/runs", { input })).body;
    for (;;) {
      const { body } = await client.get(`/runs/${id}`);
      if (body.state === "waiting") return { id, thread_id, permission: body.waiting_for[0].id };
      await sleep(25);
    }
  }
  const decide = (client: HttpClient, of: Anything, decision: string, more = {}) =>
    client.post(`/threads/${of.thread_id}/events`, {
      type: "permission.decision",
      permission_id: of.permission,
      decision,
      ...more,
    });
  const ended = async (of: Anything): Promise<Anything> =>
    (await server.client().get(`/runs/${of.id}`, { headers: { prefer: "wait=60" } })).body;

  test("lets runs wait for an admin, and go beyond it when one allows it", async () => {
    const kim = await server.person("member");
    const asKim = server.client(kim.token);
    const subject = { kind: "user", id: kim.userId };
    const made = (await server.client().post("/budgets", { ...day, subject, limit_tokens: 1, action: "ask" })).body;
    const calls = server.model.calls("other").length;
    const first = await waiting(asKim);
    expect(server.model.calls("other").length).toBe(calls);
    const asked = (await asKim.get(`/threads/${first.thread_id}/events?types=permission.requested`)).body.data[0].data;
    expect(asked).toMatchObject({ tool: "beyond-budget", reason: "budget", input: { budget_id: made.id } });
    expect((await decide(asKim, first, "allow_once")).status).toBe(403);
    const admin = server.client((await server.person("admin")).token);
    expect((await decide(admin, first, "allow_once")).status).toBe(200);
    expect((await ended(first)).state).toBe("completed");

    const second = await waiting(asKim);
    expect((await decide(admin, second, "allow_for_thread")).status).toBe(200);
    expect((await ended(second)).state).toBe("completed");
    const more = { thread_id: second.thread_id, input: { type: "user.message", text: "more" } };
    expect((await asKim.post("/agents/other/runs", more, { headers: { prefer: "wait=60" } })).body.state).toBe(
      "completed",
    );

    const third = await waiting(asKim);
    await decide(admin, third, "deny", { message: "not today" });
    const denied = await ended(third);
    expect(denied).toMatchObject({ state: "failed", error: { code: "budget_exceeded" } });
    expect(denied.error.message).toContain("not today");
    await server.client().delete(`/budgets/${made.id}`);
  });

  test("and that was answered on another process lets the run go on there", async () => {
    const kim = await server.person("member");
    const subject = { kind: "each_user" };
    const made = (await server.client().post("/budgets", { ...day, subject, limit_tokens: 1, action: "ask" })).body;
    const run = await waiting(server.client(kim.token));
    const second = await server.second();
    try {
      const headers = { authorization: `Bearer ${server.token}`, "content-type": "application/json" };
      const body = { type: "permission.decision", permission_id: run.permission, decision: "allow_once" };
      const url = `${second.baseUrl}/api/v1/threads/${run.thread_id}/events`;
      expect((await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).status).toBe(200);
      expect((await ended(run)).state).toBe("completed");
    } finally {
      await second.stop();
    }
    await server.client().delete(`/budgets/${made.id}`);
  });
});

test("budgets are for admins, have a limit, and name things of the organization", async () => {
  const owner = server.client();
  const member = server.client((await server.person("member")).token);
  const body = { ...day, subject: { kind: "organization" }, limit_micros: 5 };
  expect((await member.post("/budgets", body)).status).toBe(403);
  expect((await member.get("/budgets")).status).toBe(403);
  const { limit_micros: _, ...without } = body;
  expect((await owner.post("/budgets", without)).body.error.details.fields[0].path).toBe("limit_micros");
  const foreign = await server.organization();
  for (const subject of [
    { kind: "user", id: foreign.ownerId },
    { kind: "agent", id: "agent_01h455vb4pex5vsknk084sn02q" },
  ]) {
    const refused = await owner.post("/budgets", { ...body, subject });
    expect([refused.status, refused.body.error.details.fields[0].path]).toEqual([422, "subject.id"]);
  }
  const made = (await owner.post("/budgets", body)).body;
  const theirs = server.client(foreign.token);
  for (const answer of [
    await theirs.patch(`/budgets/${made.id}`, { limit_micros: 1 }),
    await theirs.delete(`/budgets/${made.id}`),
    await owner.delete("/budgets/budget_01h455vb4pex5vsknk084sn02q"),
    await owner.delete("/budgets/nonsense"),
  ]) {
    expect([answer.status, answer.body.error.code]).toEqual([404, "not_found"]);
  }
  expect((await theirs.get("/budgets")).body.data).toEqual([]);
  await owner.delete(`/budgets/${made.id}`);
  const actions = (await owner.get("/audit?limit=50")).body.data.map(
    ({ action, outcome }: Anything) => `${action} ${outcome}`,
  );
  for (const action of ["budget.create done", "budget.create refused", "budget.delete done"]) {
    expect(actions).toContain(action);
  }
});

test("usage is summed with the price used, is one's own without admin rights, and outlives its thread", async () => {
  const kim = await server.person("member");
  const asKim = server.client(kim.token);
  const owner = server.client();
  server.model.script("priced", () => say("ok"));
  const run = await ask(asKim, "priced");
  await ask(owner, "priced");
  const mine = (await asKim.get("/usage/calls")).body.data;
  expect(mine).toHaveLength(1);
  expect(mine[0]).toMatchObject({
    run_id: run.id,
    step: 0,
    user_id: kim.userId,
    provider: "openai-compatible",
    model: "priced",
    input_tokens: 7,
    output_tokens: 3,
    cost_micros: 13,
    price: { input: 1e6, output: 2e6 },
  });
  expect((await asKim.get("/usage?group_by=user")).body.data).toMatchObject([
    { key: kim.userId, calls: 1, cost_micros: 13 },
  ]);
  expect((await asKim.delete(`/threads/${run.thread_id}`)).status).toBe(204);
  expect((await asKim.get("/usage/calls")).body.data).toEqual(mine);
  const byUser = (await owner.get("/usage?group_by=user")).body.data as Anything[];
  expect(byUser.find(({ key }) => key === kim.userId)).toMatchObject({ runs: 1, input_tokens: 7 });
  for (const group of ["agent", "model", "day"]) {
    const { data } = (await owner.get(`/usage?group_by=${group}`)).body;
    const sum = data.reduce((total: number, row: Anything) => total + row.calls, 0);
    expect(sum).toBe((await owner.get("/usage")).body.data[0].calls);
  }
  expect((await owner.get("/usage?group_by=model")).body.data.map(({ key }: Anything) => key)).toContain(
    "openai-compatible/priced",
  );
  const foreign = await server.organization();
  expect((await server.client(foreign.token).get("/usage/calls")).body.data).toEqual([]);
  expect((await server.client(foreign.token).get("/usage")).body.data[0].calls).toBe(0);
});

test("usage pages follow one another without a gap", async () => {
  const owner = server.client();
  const all = (await owner.get("/usage/calls?limit=200")).body.data.map(
    ({ run_id, step }: Anything) => `${run_id}/${step}`,
  );
  const paged: string[] = [];
  let cursor = "";
  do {
    const { data, next_cursor } = (await owner.get(`/usage/calls?limit=2${cursor}`)).body;
    paged.push(...data.map(({ run_id, step }: Anything) => `${run_id}/${step}`));
    cursor = next_cursor === null ? "" : `&cursor=${next_cursor}`;
  } while (cursor !== "");
  expect(paged).toEqual(all);
  expect((await owner.get("/usage/calls?cursor=bm9uc2Vuc2U")).status).toBe(422);
});
