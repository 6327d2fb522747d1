/** C10, A3, C6: agents that call agents, on a whole server. */
import { type AgentDefinition, defineTool } from "@callboard/kit";
import { type Event, type Run, type RunTree, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { HttpClient } from "../testing/http-client.ts";
import { callTool, type ModelAnswer, type ModelCall, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

const anything = z.looseObject({}) as never;

const agents: Record<string, AgentDefinition> = {
  planner: { name: "Planner", agents: ["billing", "looker"] },
  billing: {
    name: "Billing",
    description: "Knows invoices",
    instructions: "Speak $" + "{LOCALE}.",
    variables: { LOCALE: { schema: { type: "string", format: "locale" }, default: "en" } },
    output_schema: { type: "object", properties: { due: { type: "number" } }, required: ["due"] },
  },
  looker: { name: "Looker", tools: ["whoami"], api_access: false },
  club: { name: "Club", access_mode: "invited" },
  host: { name: "Host", agents: ["club"] },
  frugal: { name: "Frugal", agents: ["billing", "looker"], limits: { max_tokens: 100, max_cost_micros: 1000 } },
  asker: { name: "Asker", tools: [{ name: "whoami", approval: "always" }] },
  boss: { name: "Boss", agents: ["asker", "billing"] },
  head: { name: "Head", agents: ["boss"] },
  hasty: { name: "Hasty", agents: ["billing"], limits: { timeout_ms: 4000 } },
  waiter: { name: "Waiter", tools: ["hold"] },
  lobby: { name: "Lobby", agents: ["waiter"] },
  coder: { name: "Coder", tools: ["delegate"] },
  thrifty: { name: "Thrifty", tools: ["delegate"], limits: { max_tokens: 100 } },
  worker: { name: "Worker" },
  ...Object.fromEntries(
    ["level-1", "level-2", "level-3", "level-4"].map((slug) => [slug, { name: slug, tools: ["delegate"] }]),
  ),
};

/** What the tool `hold` tells. */
const held = { begun: () => {}, stopped: () => {} };

const tools = {
  whoami: defineTool({
    description: "Who is asking?",
    input: anything,
    effect: "read",
    run: (_, { caller, run }) => ({ user: caller.userId, kind: caller.kind, run: run.id }),
  }),
  hold: defineTool({
    description: "Waits until it is stopped.",
    input: anything,
    effect: "read",
    run: (_, { signal }) =>
      new Promise((_, reject) => {
        held.begun();
        signal.addEventListener("abort", () => {
          held.stopped();
          reject(signal.reason);
        });
      }),
  }),
  delegate: defineTool({
    description: "Lets agents work.",
    input: anything,
    effect: "idempotent",
    async run(input, { invokeAgent }) {
      const { to = [], together, ...extra } = input as { to?: string[]; together?: boolean };
      const said: unknown[] = [];
      if (together) {
        const runs = await Promise.all(to.map((slug) => invokeAgent(slug, { message: `For ${slug}` })));
        return runs.map((one) => one.state === "completed" && one.output());
      }
      for (const slug of to) {
        const run = await invokeAgent(slug, { message: `For ${slug}`, ...extra } as { message: string });
        said.push(run.state === "completed" ? run.output() : run.error.code);
      }
      return said;
    },
  }),
};

let server: TestServer;
let client: HttpClient;
beforeAll(async () => {
  // One slot: whatever waits for another run must not be in its way.
  server = await startTestServer({ agents, tools, env: { CALLBOARD_RUN_SLOTS: "1" } });
  client = server.client();
  answerWith("billing", () => say('{"due":12}'));
});
afterAll(() => server.stop());

/** What a model does after the last user message: calls first, and then what it says of the results. */
function answerWith(model: string, ...turns: Array<(call: ModelCall) => ModelAnswer>): void {
  server.model.script(model, (call) => {
    const spoken = call.messages.length - 1 - call.messages.findLastIndex(({ role }) => role === "user");
    const turn = call.messages.slice(-spoken || call.messages.length).filter(({ role }) => role === "assistant").length;
    const answer = turns[Math.min(turn, turns.length - 1)];
    return (answer as (call: ModelCall) => ModelAnswer)(call);
  });
}
const both = (...steps: Array<[string, unknown]>): ModelAnswer => ({
  steps: steps.map(([tool, input]) => ({ tool, input })),
});
const results = ({ toolResults }: ModelCall): ModelAnswer => say(toolResults.join("|"));
const ask = (slug: string, message = "Do it", variables?: object): ModelAnswer =>
  callTool(`agent_${slug.replaceAll("-", "_")}`, { message, ...(variables && { variables }) });

async function run(agent: string, as: HttpClient = client, text = "Go"): Promise<Run> {
  const input = { type: "user.message", text };
  const answer = await as.post(`/agents/${agent}/runs`, { input }, { headers: { prefer: "wait=60" } });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}
async function begin(agent: string, as: HttpClient = client): Promise<Run> {
  return (await as.post(`/agents/${agent}/runs`, { input: { type: "user.message", text: "Go" } })).body;
}
const treeOf = async (id: string, as: HttpClient = client): Promise<RunTree> => (await as.get(`/runs/${id}/tree`)).body;
const eventsOf = async (thread: string): Promise<Event[]> =>
  (await client.get(`/threads/${thread}/events`, { query: { limit: 1000 } })).body.data;
const lastResults = (model: string): string[] => server.model.calls(model).at(-1)?.toolResults ?? [];

async function eventually<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
const ended = (id: string): Promise<Run> =>
  eventually(async () => {
    const { body } = await client.get(`/runs/${id}`);
    return body.ended_at === null ? undefined : body;
  });
const waiting = (id: string): Promise<Run> =>
  eventually(async () => {
    const { body } = await client.get(`/runs/${id}`);
    return body.state === "waiting" ? body : undefined;
  });

describe("an agent that calls another one", () => {
  test("has its answer as data, with one slot in the whole server", async () => {
    answerWith("planner", () => ask("billing", "What is due?", { LOCALE: "de" }), results);
    const parent = await run("planner");
    expect(parent.result?.text).toBe('{"due":12}');
    const { children } = await treeOf(parent.id);
    expect(children).toHaveLength(1);
    const child = children[0]?.run as Run;
    expect(child).toMatchObject({ state: "completed", trigger: "agent", parent_run_id: parent.id, agent_version: 1 });
    expect(child.result?.output).toEqual({ due: 12 });
    expect(children[0]?.agent_slug).toBe("billing");
    const seen = server.model.calls("billing").at(-1) as ModelCall;
    expect(seen.lastUser).toBe("What is due?");
    expect(seen.messages[0].content).toContain("Speak de.");
  });

  test("is shown each of them as a tool with its message and its variables", async () => {
    answerWith("planner", () => say("Nothing to do."));
    await run("planner");
    const shown = server.model.calls("planner").at(-1)?.body.tools as Array<{ function: Record<string, unknown> }>;
    expect(shown.map((tool) => tool.function.name)).toEqual(["agent_billing", "agent_looker"]);
    expect(shown[0]?.function.description).toContain("Knows invoices");
    expect(shown[0]?.function.parameters).toMatchObject({
      required: ["message"],
      properties: { message: { type: "string" }, variables: { properties: { LOCALE: { type: "string" } } } },
    });
  });

  test("names the child in its log, and the child stands in its own thread", async () => {
    answerWith("planner", () => ask("billing"), results);
    const parent = await run("planner");
    const events = await eventsOf(parent.thread_id);
    const child = (await treeOf(parent.id)).children[0]?.run as Run;
    for (const type of ["tool.call.started", "tool.call.completed"]) {
      expect(events.find((event) => event.type === type)?.data).toMatchObject({ child_run_id: child.id });
    }
    const thread = (await client.get(`/threads/${child.thread_id}`)).body.thread;
    expect(thread).toMatchObject({ parent_thread_id: parent.thread_id, created_by: { id: server.ownerId } });
    const list = async (query = {}) =>
      (await client.get("/agents/billing/threads", { query })).body.data.map(({ id }: { id: string }) => id);
    expect(await list()).not.toContain(child.thread_id);
    expect(await list({ children: true })).toContain(child.thread_id);
    const called = (await client.get("/runs", { query: { parent_run_id: parent.id } })).body.data;
    expect(called.map(({ id }: Run) => id)).toEqual([child.id]);
  });

  test("lets several work side by side, and counts what they used as its own", async () => {
    answerWith("planner", () => both(["agent_billing", { message: "a" }], ["agent_looker", { message: "b" }]), results);
    answerWith(
      "looker",
      () => callTool("whoami"),
      () => say("seen"),
    );
    const parent = await run("planner");
    expect(parent.result?.text).toBe('{"due":12}|seen');
    // Two calls of its own model, one and two of the children's; each uses 7 and 3 tokens.
    expect(parent.usage).toMatchObject({ input_tokens: 35, output_tokens: 15 });
    const used = (await treeOf(parent.id)).children.map(({ run: { usage } }) => usage.input_tokens);
    expect(used).toEqual([7, 14]);
  });

  test("has the same caller behind it, whose API access switch does not matter", async () => {
    answerWith("planner", () => ask("looker"), results);
    answerWith("looker", () => callTool("whoami"), results);
    const { token, userId } = await server.person("member");
    const parent = await run("planner", client.as(token));
    expect(JSON.parse(parent.result?.text ?? "")).toMatchObject({ user: userId, kind: "user" });
    expect(
      (await client.as(token).post("/agents/looker/runs", { input: { type: "user.message", text: "x" } })).status,
    ).toBe(409);
  });

  test("keeps the version that was live when the call began", async () => {
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    await client.patch("/agents/worker", { draft: { name: "Worker", model: { id: "worker-1" } } });
    await client.post("/agents/worker/publish");
    answerWith("worker-1", () => ({ steps: [{ until: gate }, { text: "old" }] }));
    answerWith("coder", () => callTool("delegate", { to: ["worker", "worker"] }), results);
    answerWith("worker-2", () => say("new"));
    const { id } = await begin("coder");
    await eventually(async () => server.model.calls("worker-1").length > 0);
    await client.patch("/agents/worker", { draft: { name: "Worker", model: { id: "worker-2" } } });
    await client.post("/agents/worker/publish");
    release();
    expect((await ended(id)).result?.text).toBe('["old","new"]');
    expect((await treeOf(id)).children.map(({ run: { agent_version } }) => agent_version)).toEqual([2, 3]);
  });
});

describe("who may", () => {
  test("a caller who may not use an agent is denied by its run too, and the log says why", async () => {
    answerWith("host", () => ask("club"), results);
    const { token } = await server.person("member");
    const parent = await run("host", client.as(token));
    expect(parent.result?.text).toContain("The call was refused: agent club");
    const completed = (await eventsOf(parent.thread_id)).find(({ type }) => type === "tool.call.completed");
    expect(completed?.data).toMatchObject({ outcome: "denied", reason: expect.stringContaining("invited") });
    expect(completed?.data).not.toHaveProperty("child_run_id");
    expect((await treeOf(parent.id)).children).toEqual([]);
    const entry = (await client.get("/audit", { query: { action: "agent.call" } })).body.data[0];
    expect(entry).toMatchObject({
      outcome: "refused",
      target: "club",
      details: { code: "forbidden", run_id: parent.id },
    });
    expect((await run("host")).result?.text).not.toContain("refused"); // the owner of club may
  });

  test("a service token calls only the agents in its list, also by way of others", async () => {
    answerWith("planner", () => both(["agent_billing", { message: "a" }], ["agent_looker", { message: "b" }]), results);
    answerWith("looker", () => callTool("whoami"), results);
    const ids = Object.fromEntries(
      (await client.get("/agents")).body.data.map(({ slug, id }: { slug: string; id: string }) => [slug, id]),
    );
    const token = await server.service({
      scopes: ["threads:read", "threads:write"],
      agent_ids: [ids.planner, ids.billing],
    } as never);
    const parent = await run("planner", client.as(token));
    const outcomes = (await eventsOf(parent.thread_id)).flatMap((event) =>
      event.type === "tool.call.completed" ? [`${event.data.tool} ${event.data.outcome}`] : [],
    );
    expect(outcomes.sort()).toEqual(["agent_billing ok", "agent_looker denied"]);
    expect((await treeOf(parent.id, client.as(token))).children).toHaveLength(1);
  });

  test("a person to whom a service attributes its work sees the children, and must be allowed to use them", async () => {
    answerWith("planner", () => ask("billing"), results);
    answerWith("host", () => ask("club"), results);
    const ids = Object.fromEntries(
      (await client.get("/agents")).body.data.map(({ slug, id }: { slug: string; id: string }) => [slug, id]),
    );
    const token = await server.service({
      scopes: ["threads:read", "threads:write"],
      agent_ids: [ids.planner, ids.billing, ids.host, ids.club],
      may_attribute: true,
    } as never);
    const person = await server.person("member");
    const work = async (agent: string): Promise<Run> => {
      const input = { type: "user.message", text: "Go" };
      const body = { input, attributed_user_id: person.userId };
      return ended((await client.as(token).post(`/agents/${agent}/threads`, body)).body.run.id);
    };
    const parent = await work("planner");
    const tree = await treeOf(parent.id, client.as(person.token));
    const thread = await client.as(person.token).get(`/threads/${tree.children[0]?.run.thread_id}`);
    expect(thread.body.thread.attributed_user).toEqual({ id: person.userId });
    expect((await work("host")).result?.text).toContain("The call was refused: agent club");
  });

  test("others see neither the children's runs nor their threads", async () => {
    answerWith("planner", () => ask("billing"), results);
    const parent = await run("planner");
    const child = (await treeOf(parent.id)).children[0]?.run as Run;
    const colleague = client.as((await server.person("member")).token);
    const foreign = (await server.organization()).client();
    for (const stranger of [colleague, foreign]) {
      for (const path of [
        `/runs/${parent.id}/tree`,
        `/runs/${child.id}`,
        `/runs/${child.id}/tree`,
        `/runs/${child.id}/transcript`,
        `/threads/${child.thread_id}`,
        `/threads/${child.thread_id}/events`,
      ]) {
        expect((await stranger.get(path)).status, path).toBe(404);
      }
      expect((await stranger.get("/runs", { query: { parent_run_id: parent.id } })).body.data).toEqual([]);
    }
  });

  test("a model that makes agents, arguments and callers up gains nothing", async () => {
    const before = await server.row<{ count: number }>("select count(*)::int as count from runs where depth > 0");
    answerWith(
      "host",
      () =>
        both(
          ["agent_billing", { message: "not mine" }],
          ["agent_host", { message: "myself" }],
          ["agent_../club", { message: "x" }],
          ["agent_club", { message: "x", user: server.ownerId }],
          ["agent_club", { message: "x", variables: { LOCALE: "de" } }],
          ["agent_club", { message: "" }],
          ["agent_club", { message: { text: "x" } }],
          ["agent_club", "no json"],
        ),
      results,
    );
    const { id, thread_id } = await run("host");
    expect(lastResults("host")).toHaveLength(8);
    const reasons = (await eventsOf(thread_id)).flatMap((event) =>
      event.type === "tool.call.completed" ? [event.data.outcome] : [],
    );
    expect(reasons).toEqual(Array.from({ length: 8 }, () => "error"));
    expect((await treeOf(id)).children).toEqual([]);
    expect(await server.row("select count(*)::int as count from runs where depth > 0")).toEqual(before);
  });
});

describe("limits", () => {
  test("what a run has left bounds those it calls, in equal parts when they begin together", async () => {
    answerWith("frugal", () => both(["agent_billing", { message: "a" }], ["agent_looker", { message: "b" }]), results);
    answerWith(
      "looker",
      () => callTool("whoami"),
      () => callTool("whoami"),
      () => say("seen"),
    );
    const { id } = await run("frugal");
    const rows = await server.app.database.rows<{ limits: object }>(
      { name: "", text: "select limits from runs where parent_run_id = $1" },
      [toUuid(id)],
    );
    expect(rows.map(({ limits }) => limits)).toMatchObject([{ max_tokens: 45 }, { max_tokens: 45 }]);
  });

  test("and those that a tool calls side by side", async () => {
    const asked = { to: ["billing", "worker", "waiter"], together: true };
    answerWith("thrifty", () => callTool("delegate", asked), results);
    answerWith("waiter", () => say("waited"));
    const { id, result } = await run("thrifty");
    expect(result?.text).toContain("waited");
    const rows = await server.app.database.rows<{ limits: { max_tokens: number } }>(
      { name: "", text: "select limits from runs where parent_run_id = $1" },
      [toUuid(id)],
    );
    // A third of what is left for each; less for one that begins when another has ended.
    const given = rows.map(({ limits }) => limits.max_tokens);
    expect(given).toHaveLength(3);
    expect(Math.max(...given)).toBe(30);
  });

  test("agents that call each other through tools stop at a circle and at depth three", async () => {
    answerWith("coder", () => callTool("delegate", { to: ["coder"] }), results);
    expect((await run("coder")).result?.text).toContain("at work on this already");
    answerWith("coder", () => callTool("delegate", { to: ["level-1"] }), results);
    for (const level of [1, 2, 3]) {
      answerWith(`level-${level}`, () => callTool("delegate", { to: [`level-${level + 1}`] }), results);
    }
    const top = await run("coder");
    expect(top.result?.text).toContain("agents may call each other 3 levels deep at most");
    const chain: string[] = [];
    for (let node: RunTree | undefined = await treeOf(top.id); node !== undefined; node = node.children[0]) {
      chain.push(node.agent_slug ?? "");
    }
    expect(chain).toEqual(["coder", "level-1", "level-2", "level-3"]);
  });

  test("a tool names nobody for whom the agent should work", async () => {
    answerWith("coder", () => callTool("delegate", { to: ["worker"], user: server.ownerId }), results);
    expect((await run("coder")).result?.text).toContain("invokeAgent takes message, variables; found user");
  });
});

describe("a child that waits for a person", () => {
  const permissionOf = async (thread: string): Promise<string> =>
    eventually(async () => {
      const asked = (await eventsOf(thread)).find(({ type }) => type === "permission.requested");
      return (asked?.data as { permission_id: string } | undefined)?.permission_id;
    });
  const decide = (thread: string, permission_id: string, decision = "allow_once") =>
    client.post(`/threads/${thread}/events`, { type: "permission.decision", permission_id, decision });

  test("lets everyone above it wait without a process, and all go on with the answer", async () => {
    answerWith("head", () => ask("boss"), results);
    answerWith("boss", () => both(["agent_asker", { message: "a" }], ["agent_billing", { message: "b" }]), results);
    answerWith(
      "asker",
      () => callTool("whoami"),
      () => say("asked"),
    );
    const { id } = await begin("head");
    const top = await waiting(id);
    const boss = (await treeOf(id)).children[0] as RunTree;
    const asker = boss.children.find(({ agent_slug }) => agent_slug === "asker") as RunTree;
    expect(top.waiting_for).toEqual([{ kind: "run", id: boss.run.id }]);
    expect(boss.run.waiting_for).toContainEqual({ kind: "run", id: asker.run.id });
    expect((await waiting(asker.run.id)).waiting_for).toMatchObject([{ kind: "permission" }]);
    await decide(asker.run.thread_id, await permissionOf(asker.run.thread_id));
    const done = await ended(id);
    expect(done.result?.text).toBe('asked|{"due":12}');
    // The calls were begun once: the same children, each call started and completed once.
    const after = await treeOf(id);
    expect(after.children[0]?.children.map(({ run: { id } }) => id)).toEqual(
      boss.children.map(({ run: { id } }) => id),
    );
    for (const { thread_id } of [done, boss.run]) {
      const types = (await eventsOf(thread_id)).map(({ type }) => type);
      const count = (type: string) => types.filter((one) => one === type).length;
      expect(count("tool.call.started")).toBe(count("tool.call.completed"));
    }
  });

  test("is canceled with the run that waits for it, and its question expires", async () => {
    answerWith("head", () => ask("boss"), results);
    answerWith("boss", () => ask("asker"), results);
    answerWith(
      "asker",
      () => callTool("whoami"),
      () => say("asked"),
    );
    const { id } = await begin("head");
    await waiting(id);
    const asker = (await treeOf(id)).children[0]?.children[0]?.run as Run;
    const permission = await permissionOf(asker.thread_id);
    expect((await client.post(`/runs/${id}/cancel`)).status).toBe(202);
    expect((await ended(asker.id)).error?.code).toBe("canceled");
    const events = await eventsOf(asker.thread_id);
    expect(events.at(-1)?.type).toBe("run.canceled");
    expect((await decide(asker.thread_id, permission)).body.error.code).toBe("permission_expired");
    expect((await eventsOf(asker.thread_id)).length).toBe(events.length);
  });

  test("may be called by a tool, which is called again once the child has ended", async () => {
    answerWith("coder", () => callTool("delegate", { to: ["worker", "asker"] }), results);
    answerWith("worker-2", () => say("first"));
    answerWith(
      "asker",
      () => callTool("whoami"),
      () => say("asked"),
    );
    const { id } = await begin("coder");
    const top = await waiting(id);
    expect(top.waiting_for).toMatchObject([{ kind: "run" }]);
    const asker = (await treeOf(id)).children[1]?.run as Run;
    await decide(asker.thread_id, await permissionOf(asker.thread_id));
    expect((await ended(id)).result?.text).toBe('["first","asked"]');
    expect((await treeOf(id)).children).toHaveLength(2);
  });
});

describe("the end of a run", () => {
  async function hanging(): Promise<{ parent: Run; child: Run; left: Promise<void> }> {
    answerWith("planner", () => ask("billing"), results);
    server.model.script("billing", () => ({ steps: ["hang"] }));
    const before = server.model.calls("billing").length;
    const parent = await begin("planner");
    const call = await eventually(async () => server.model.calls("billing")[before]);
    return { parent, child: (await treeOf(parent.id)).children[0]?.run as Run, left: call.left };
  }
  afterAll(() => answerWith("billing", () => say('{"due":12}')));

  test("that is canceled ends those it has called, whose model calls are cut off", async () => {
    const { parent, child, left } = await hanging();
    expect((await client.post(`/runs/${parent.id}/cancel`)).status).toBe(202);
    await left;
    expect(await ended(child.id)).toMatchObject({ state: "canceled", error: { code: "canceled" } });
    const events = await eventsOf(child.thread_id);
    expect(events.at(-1)?.type).toBe("run.canceled");
  });

  test("that is canceled ends a child in the middle of a tool, which is told to stop", async () => {
    answerWith("lobby", () => ask("waiter"), results);
    answerWith("waiter", () => callTool("hold"), results);
    const begun = new Promise<void>((resolve) => {
      held.begun = resolve;
    });
    const stopped = new Promise<void>((resolve) => {
      held.stopped = resolve;
    });
    const { id } = await begin("lobby");
    await begun;
    const child = (await treeOf(id)).children[0]?.run as Run;
    await client.post(`/runs/${id}/cancel`);
    await stopped;
    expect((await ended(child.id)).state).toBe("canceled");
  });

  test("that is canceled ends a child that was still in the queue", async () => {
    answerWith("planner", () => both(["agent_billing", { message: "a" }], ["agent_looker", { message: "b" }]), results);
    server.model.script("billing", () => ({ steps: ["hang"] }));
    server.model.script("looker", () => ({ steps: ["hang"] }));
    const { id } = await begin("planner");
    const children = await eventually(async () => {
      const runs = (await treeOf(id)).children.map(({ run }) => run);
      return runs.length === 2 && runs.some(({ state }) => state === "running") ? runs : undefined;
    });
    // There is one slot. Two that are accepted at the same moment may both have seen it free.
    expect(["queued", "running"]).toEqual(expect.arrayContaining(children.map(({ state }) => state)));
    await client.post(`/runs/${id}/cancel`);
    for (const child of children) expect((await ended(child.id)).state).toBe("canceled");
  });

  test("whose time is up ends those it has called", async () => {
    answerWith("hasty", () => ask("billing"), results);
    server.model.script("billing", () => ({ steps: ["hang"] }));
    const { id } = await begin("hasty");
    expect((await ended(id)).error?.code).toBe("timeout");
    const child = (await treeOf(id)).children[0]?.run as Run;
    expect(["timeout", "canceled"]).toContain((await ended(child.id)).error?.code);
  });

  test("that nobody noticed is noticed later: who waited for it goes on", async () => {
    answerWith("boss", () => ask("asker"), results);
    answerWith(
      "asker",
      () => callTool("whoami"),
      () => say("asked"),
    );
    const { id } = await begin("boss");
    await waiting(id);
    const child = (await treeOf(id)).children[0]?.run as Run;
    const error = JSON.stringify({ code: "internal", message: "lost", retryable: true });
    await server.row("update runs set state = 'failed', error = $2::json, ended_at = now() where id = $1", [
      toUuid(child.id),
      error,
    ]);
    expect((await ended(id)).result?.text).toContain("the agent's run failed: internal: lost");
  });

  test("that is interrupted ends those it has called", async () => {
    const { parent, child } = await hanging();
    await client.post(`/threads/${parent.thread_id}/events`, { type: "user.interrupt" });
    expect((await ended(child.id)).state).toBe("canceled");
  });

  test("of a child alone is told to the model of its caller", async () => {
    const { parent, child } = await hanging();
    await client.post(`/runs/${child.id}/cancel`);
    expect((await ended(parent.id)).result?.text).toContain("canceled");
  });

  test("by deletion takes the threads of those it has called along", async () => {
    const { parent, child } = await hanging();
    const refused = await client.delete(`/threads/${child.thread_id}`);
    expect([refused.status, refused.body.error.code]).toEqual([409, "run_active"]);
    expect((await client.delete(`/threads/${parent.thread_id}`)).status).toBe(204);
    expect((await client.get(`/threads/${child.thread_id}`)).status).toBe(404);
    expect((await client.get(`/runs/${child.id}`)).status).toBe(404);
  });
});
