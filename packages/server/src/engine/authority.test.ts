/** I5: what a run may do is what its caller may do, at each call and after each pause. */
import { setTimeout as sleep } from "node:timers/promises";
import { defineTool } from "@callboard/kit";
import { toUuid } from "@callboard/protocol";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { HttpClient } from "../testing/http-client.ts";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

const one = z.strictObject({ id: z.string() }) as never;
/** Whom the tools worked for, by the id the model was told: each is one act. */
const acts: string[] = [];
const seenGroups = new Map<string, readonly string[]>();
/** What a tool has begun to write. */
let writing: Promise<Anything> | undefined;
let held: { entered: () => void; leave: Promise<void> } | undefined;

let server: TestServer;
beforeAll(async () => {
  const act = (id: string) => acts.push(id);
  server = await startTestServer({
    tools: {
      act: defineTool({
        description: "Acts.",
        input: one,
        effect: "once",
        run: ({ id }: Anything, { caller }) => {
          seenGroups.set(id, caller.groups);
          return act(id);
        },
      }),
      hold: defineTool({
        description: "Waits, then acts, unless it is stopped.",
        input: one,
        effect: "idempotent",
        run: async ({ id }: Anything, { signal }) => {
          held?.entered();
          await held?.leave;
          signal.throwIfAborted();
          return act(id);
        },
      }),
      keep: defineTool({
        description: "Waits, then writes a file.",
        input: one,
        effect: "idempotent",
        run: async ({ id }: Anything, { files }) => {
          held?.entered();
          await held?.leave;
          writing = files.write({ name: id, mediaType: "text/plain", bytes: "kept" });
          return (await writing).id;
        },
      }),
      audit_log: defineTool({
        description: "Needs more than calling.",
        input: one,
        effect: "read",
        scopes: ["audit:read"],
        run: ({ id }: Anything) => act(id),
      }),
    },
    agents: {
      actor: { name: "Actor", tools: ["act", "hold", "keep", "audit_log"] },
      asker: {
        name: "Asker",
        tools: [{ name: "act", approval: "always" }],
        approvals: { approvers: ["caller", "owner"] },
      },
      reader: { name: "Reader", tools: [{ name: "audit_log", approval: "always" }] },
    },
  });
  // The user says which tool to call, with which id; then the model calls `act` once more, then it is done.
  server.model.script("actor", ({ lastUser, messages }) => {
    const results = messages.filter(({ role }) => role === "tool").length;
    const [tool = "", id = ""] = lastUser.split(" ");
    if (results === 0) return callTool(tool, { id });
    if (results === 1) return callTool("act", { id: `${id}-again` });
    return say("done");
  });
  server.model.script("reader", ({ lastUser, toolResults }) => {
    const [tool = "", id = ""] = lastUser.split(" ");
    return toolResults.length === 0 ? callTool(tool, { id }) : say("done");
  });
  server.model.script("asker", ({ lastUser, toolResults }) =>
    toolResults.length === 0 ? callTool("act", { id: lastUser }) : say("done"),
  );
});
afterAll(() => server.stop());

let count = 0;
const newId = (): string => `id${++count}`;
const begin = async (client: HttpClient, agent: string, text: string, wait = 0): Promise<Anything> => {
  const headers = wait === 0 ? {} : { prefer: `wait=${wait}` };
  const answer = await client.post(`/agents/${agent}/runs`, { input: { type: "user.message", text } }, { headers });
  if (answer.status >= 300) throw new Error(answer.text);
  return answer.body;
};
const ended = async (run: Anything): Promise<Anything> =>
  (await server.client().get(`/runs/${run.id}`, { headers: { prefer: "wait=60" } })).body;
const logOf = async (run: Anything): Promise<Anything[]> =>
  (await server.client().get(`/threads/${run.thread_id}/events?limit=1000`)).body.data;
async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(25);
  }
}

type Someone = { client: HttpClient; userId: string; tokenId: string };
async function member(): Promise<Someone> {
  const { userId, token } = await server.person("member");
  const client = server.client(token);
  return { client, userId, tokenId: (await client.get("/me")).body.token_id };
}

/** Every way in which the right to call an agent ends. */
const ways: Record<string, (who: Someone, agent: string) => Promise<unknown>> = {
  "the token is revoked": ({ tokenId }) => server.client().post(`/tokens/${tokenId}/revoke`),
  "the person is suspended": ({ userId }) => server.client().patch(`/members/${userId}`, { suspended: true }),
  "the person is removed": ({ userId }) => server.client().delete(`/members/${userId}`),
  "the person becomes a guest": ({ userId }) => server.client().patch(`/members/${userId}`, { role: "guest" }),
  "the agent is unpublished": (_, agent) => server.client().post(`/agents/${agent}/unpublish`),
  "the agent's API access is switched off": (_, agent) =>
    server.client().patch(`/agents/${agent}`, { api_access: false }),
  "the agent is for invited people": (_, agent) =>
    server.client().patch(`/agents/${agent}`, { access_mode: "invited" }),
};
async function restore(agent: string): Promise<void> {
  const owner = server.client();
  await owner.patch(`/agents/${agent}`, { api_access: true, access_mode: "organization" });
  await owner.post(`/agents/${agent}/versions/1/activate`);
}

describe.each(Object.keys(ways))("when %s", (way) => {
  const end = (who: Someone, agent: string) => (ways[way] as (typeof ways)[string])(who, agent);

  test("during a tool, the tool is stopped, nothing more is done, and the log says why", async () => {
    const who = await member();
    const id = newId();
    let leave: () => void = () => {};
    const entered = new Promise<void>((done) => {
      held = { entered: done, leave: new Promise((go) => (leave = go)) };
    });
    const run = await begin(who.client, "actor", `hold ${id}`);
    await entered;
    await end(who, "actor");
    const stopped = await ended(run);
    leave();
    expect(stopped).toMatchObject({ state: "failed", error: { code: "access_revoked", retryable: false } });
    expect(stopped.error.message).toMatch(/^the run may not go on: /);
    expect(acts.filter((act) => act.startsWith(id))).toEqual([]);
    expect((await logOf(run)).at(-1)).toMatchObject({
      type: "run.failed",
      data: { error: { code: "access_revoked" } },
    });
    await restore("actor");
  });

  test("while the model speaks, the run ends, and the provider's connection is closed", async () => {
    const who = await member();
    const model = `silent-${newId()}`;
    server.model.script(model, () => ({ steps: [{ text: "Wait" }, "hang"] }));
    const owner = server.client();
    await owner.post("/agents", { slug: model, draft: { name: "Silent", model: { id: model } }, api_access: true });
    await owner.post(`/agents/${model}/publish`);
    const run = await begin(who.client, model, "hello");
    await until(async () => server.model.calls(model)[0]);
    await end(who, model);
    expect(await ended(run)).toMatchObject({ state: "failed", error: { code: "access_revoked" } });
    await server.model.calls(model)[0]?.left;
  });

  test("while a person is asked, a later yes starts nothing", async () => {
    const who = await member();
    const id = newId();
    const run = await begin(who.client, "asker", id);
    const waiting = await until(async () => {
      const { body } = await server.client().get(`/runs/${run.id}`);
      return body.state === "waiting" ? body : undefined;
    });
    await end(who, "asker");
    const decision = { type: "permission.decision", permission_id: waiting.waiting_for[0].id, decision: "allow_once" };
    const answer = await server.client().post(`/threads/${run.thread_id}/events`, decision);
    expect(answer.status).toBe(200);
    expect(await ended(run)).toMatchObject({ state: "failed", error: { code: "access_revoked" } });
    expect(acts).not.toContain(id);
    await restore("asker");
  });

  test("while another process has to take the run up, that one starts nothing", async () => {
    const who = await member();
    const id = newId();
    const run = await begin(who.client, "asker", id);
    const waiting = await until(async () => {
      const { body } = await server.client().get(`/runs/${run.id}`);
      return body.state === "waiting" ? body : undefined;
    });
    const second = await server.second();
    try {
      await end(who, "asker");
      const url = `${second.baseUrl}/api/v1/threads/${run.thread_id}/events`;
      const decision = {
        type: "permission.decision",
        permission_id: waiting.waiting_for[0].id,
        decision: "allow_once",
      };
      const headers = { authorization: `Bearer ${server.token}`, "content-type": "application/json" };
      expect((await fetch(url, { method: "POST", headers, body: JSON.stringify(decision) })).status).toBe(200);
      expect(await ended(run)).toMatchObject({ state: "failed", error: { code: "access_revoked" } });
      expect(acts).not.toContain(id);
    } finally {
      await second.stop();
    }
    await restore("asker");
  });
});

describe("a tool", () => {
  test("may ask for a scope that the token lacks: the call is denied, the log says so, the run goes on", async () => {
    const { userId } = await member();
    const token = await server.personalToken(userId as never, { scopes: ["threads:read", "threads:write"] });
    const id = newId();
    const run = await begin(server.client(token), "actor", `audit_log ${id}`, 60);
    expect(run.state).toBe("completed");
    expect(acts.filter((act) => act.startsWith(id))).toEqual([`${id}-again`]);
    const completed = (await logOf(run)).filter(({ type }) => type === "tool.call.completed");
    expect(completed[0].data).toMatchObject({
      outcome: "denied",
      reason: "the caller's token lacks the scope audit:read",
    });
    const allowed = await begin(server.client(), "actor", `audit_log ${newId()}`, 60);
    expect((await logOf(allowed)).find(({ type }) => type === "tool.call.completed")?.data.outcome).toBe("ok");
  });

  test("is denied where the scope was taken from the token while a person was asked", async () => {
    const { userId } = await server.person("admin");
    const token = await server.personalToken(userId as never, {
      scopes: ["threads:read", "threads:write", "audit:read"],
    });
    const client = server.client(token);
    const id = newId();
    const run = await begin(client, "reader", `audit_log ${id}`);
    const waiting = await until(async () => {
      const { body } = await client.get(`/runs/${run.id}`);
      return body.state === "waiting" ? body : undefined;
    });
    const { token_id } = (await client.get("/me")).body;
    const scopes = ["threads:read", "threads:write"];
    expect((await server.client().patch(`/tokens/${token_id}`, { scopes })).status).toBe(200);
    const decision = { type: "permission.decision", permission_id: waiting.waiting_for[0].id, decision: "allow_once" };
    expect((await client.post(`/threads/${run.thread_id}/events`, decision)).status).toBe(200);
    expect(await ended(run)).toMatchObject({ state: "completed" });
    expect(acts).not.toContain(id);
    const told = (await logOf(run)).filter(({ type }) => type.startsWith("tool.call."));
    expect(told.map(({ data }) => [data.outcome, data.reason])).toEqual([
      ["denied", "the caller's token lacks the scope audit:read"],
    ]);
  });

  test("sees the groups its person is still in, and none that came after the run was accepted", async () => {
    const who = await member();
    const owner = server.client();
    const group = async (slug: string, user_ids: string[]) =>
      (await owner.post("/groups", { slug, name: slug, user_ids })).body;
    const left = await group(`left-${newId()}`, [who.userId]);
    const stays = await group(`stays-${newId()}`, [who.userId]);
    const id = newId();
    const run = await begin(who.client, "asker", id);
    const waiting = await until(async () => {
      const { body } = await owner.get(`/runs/${run.id}`);
      return body.state === "waiting" ? body : undefined;
    });
    await owner.patch(`/groups/${left.id}`, { user_ids: [] });
    await group(`later-${newId()}`, [who.userId]);
    const decision = { type: "permission.decision", permission_id: waiting.waiting_for[0].id, decision: "allow_once" };
    await who.client.post(`/threads/${run.thread_id}/events`, decision);
    expect((await ended(run)).state).toBe("completed");
    expect(seenGroups.get(id)).toEqual([stays.slug]);
  });
});

describe("a file that a tool writes while access changes", () => {
  /** Holds the thread while the tool's write waits for it, and meanwhile does something. @returns whether it was written */
  async function during(meanwhile: (who: Someone) => Promise<unknown>): Promise<{ written: boolean; files: number }> {
    const who = await member();
    let leave: () => void = () => {};
    const entered = new Promise<void>((done) => {
      held = { entered: done, leave: new Promise((go) => (leave = go)) };
    });
    const run = await begin(who.client, "actor", `keep ${newId()}.txt`);
    await entered;
    const other = new pg.Client({ connectionString: server.databaseUrl });
    await other.connect();
    try {
      await other.query("begin");
      await other.query("select 1 from threads where id = $1 for update", [toUuid(run.thread_id)]);
      const { pid } = (await other.query("select pg_backend_pid() as pid")).rows[0];
      writing = undefined;
      leave();
      const blocked = "select 1 as yes from pg_stat_activity where $1 = any(pg_blocking_pids(pid))";
      await until(async () => (writing === undefined ? undefined : server.row(blocked, [pid])));
      await meanwhile(who);
      await other.query("commit");
      const written = await (writing as unknown as Promise<Anything>).then(
        () => true,
        () => false,
      );
      await ended(run);
      const found = await server.row<{ n: number }>("select count(*)::int as n from files where run_id = $1", [
        toUuid(run.id),
      ]);
      return { written, files: found.n };
    } finally {
      await other.end();
    }
  }

  test("is refused when the right has ended", async () => {
    const end = ways["the token is revoked"] as (typeof ways)[string];
    expect(await during((who) => end(who, "actor"))).toEqual({ written: false, files: 0 });
  });

  test("is written when it was somebody else's right", async () => {
    const other = () => server.client().post("/groups", { slug: newId(), name: "Others" });
    expect(await during(other)).toEqual({ written: true, files: 1 });
  });
});

describe("a service that works for a person", () => {
  test("does nothing more for one who is suspended, and goes on for the others", async () => {
    const [kim, lee] = [await member(), await member()];
    const owner = server.client();
    const { id: agentId } = (await owner.get("/agents/asker")).body;
    const service = server.client(await server.service({ agent_ids: [agentId], may_attribute: true }));
    const open = async (userId: string, text: string) => {
      const body = { attributed_user_id: userId, input: { type: "user.message", text } };
      return (await service.post("/agents/asker/threads", body)).body.run;
    };
    const ids = [newId(), newId()] as const;
    const runs = [await open(kim.userId, ids[0]), await open(lee.userId, ids[1])];
    const asked = await Promise.all(
      runs.map((run) =>
        until(async () => {
          const { body } = await owner.get(`/runs/${run.id}`);
          return body.state === "waiting" ? body : undefined;
        }),
      ),
    );
    await owner.patch(`/members/${kim.userId}`, { suspended: true });
    for (const { thread_id, waiting_for } of asked) {
      const decision = { type: "permission.decision", permission_id: waiting_for[0].id, decision: "allow_once" };
      await owner.post(`/threads/${thread_id}/events`, decision);
    }
    expect(await ended(runs[0])).toMatchObject({ state: "failed", error: { code: "access_revoked" } });
    expect(await ended(runs[1])).toMatchObject({ state: "completed" });
    expect(acts).not.toContain(ids[0]);
    expect(acts).toContain(ids[1]);
  });
});

test("1,000 races of a tool's use against the end of the right to it have one winner each", {
  timeout: 600_000,
}, async () => {
  const { userId } = await member();
  const outcomes = { acted: 0, refused: 0 };
  for (let round = 0; round < 40; round++) {
    await Promise.all(
      Array.from({ length: 25 }, async (_, i) => {
        const client = server.client(await server.personalToken(userId as never));
        const tokenId = (await client.get("/me")).body.token_id;
        const id = newId();
        const run = await begin(client, "actor", `act ${id}`);
        // A little later each time, so that it falls into every part of the run.
        if (i > 0) await sleep(i);
        await server.client().post(`/tokens/${tokenId}/revoke`);
        const { state, error } = await ended(run);
        const log = await logOf(run);
        const done = log.filter(({ type, data }) => type === "tool.call.completed" && data.outcome === "ok").length;
        const begun = acts.filter((act) => act === id || act === `${id}-again`);
        expect(new Set(begun).size).toBe(begun.length);
        // What was done is in the log as done or as unknown, and what was refused was not done.
        const unknown = log.filter(({ type, data }) => type === "tool.call.completed" && data.outcome === "unknown");
        expect(begun.length).toBeGreaterThanOrEqual(done);
        expect(begun.length).toBeLessThanOrEqual(done + unknown.length);
        expect(["completed", "failed"]).toContain(state);
        if (state === "failed") expect(error.code).toBe("access_revoked");
        outcomes[begun.length === 2 ? "acted" : "refused"]++;
      }),
    );
  }
  expect(outcomes.acted + outcomes.refused).toBe(1000);
  expect(outcomes.refused).toBeGreaterThan(0);
});
