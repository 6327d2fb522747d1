/**
 * When a right ends, everything under it ends: idle, running, streaming, waiting, polling; on this and on another
 * process. `engine/authority.test.ts` has the single cases and the races; here one person has all of them at once.
 */
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { defineEndpoint, defineTool } from "@callboard/kit";
import { toUuid, type UserId } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { type Answer, HttpClient } from "../../packages/server/src/testing/http-client.ts";
import { callTool, say } from "../../packages/server/src/testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../../packages/server/src/testing/server.ts";
import type { SseReader } from "../../packages/server/src/testing/sse-reader.ts";
import { type Anything, must } from "./hostile-world.ts";

/** What is open is closed within a second. How long it took is printed; a test fails only for what stays open. */
const PATIENCE_MS = 30_000;
const TIMEOUT = 600_000;
const free = z.any() as Anything;

/** What tools did, by the id they were told. */
const acts: string[] = [];
/** Work that has begun, and waits to be let go. */
const held = new Map<string, { entered: Promise<void>; enter: () => void; leave: Promise<void>; go: () => void }>();
/** Milliseconds from the answer of the act that ended a right to the end of what was open. */
const closings: number[] = [];
let count = 0;

function hold(id: string) {
  const found = held.get(id);
  if (found !== undefined) return found;
  const [entered, leave] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const made = { entered: entered.promise, enter: entered.resolve, leave: leave.promise, go: leave.resolve };
  held.set(id, made);
  return made;
}

let server: TestServer;
let second: Awaited<ReturnType<TestServer["second"]>>;
beforeAll(async () => {
  const one = z.strictObject({ id: z.string() }) as never;
  const work = async ({ input, runAgent }: Anything) => {
    const { id, agent } = input as { id: string; agent: string };
    hold(id).enter();
    await hold(id).leave;
    return (await runAgent(agent, { message: `act ${id}` })).state;
  };
  server = await startTestServer({
    tools: {
      act: defineTool({ description: "Acts.", input: one, effect: "once", run: ({ id }: Anything) => acts.push(id) }),
      asks: defineTool({
        description: "Acts when it may.",
        input: one,
        effect: "once",
        approval: "always",
        run: ({ id }: Anything) => acts.push(id),
      }),
      hold: defineTool({
        description: "Waits, then acts, unless it is stopped.",
        input: one,
        effect: "idempotent",
        run: async ({ id }: Anything, { signal }) => {
          hold(id).enter();
          await hold(id).leave;
          signal.throwIfAborted();
          return acts.push(id);
        },
      }),
    },
    agents: { deep: { name: "Deep", tools: ["hold", "act"] } },
    endpoints: {
      sync: defineEndpoint({ method: "POST", input: free, output: free, mode: "sync", handle: work }),
      job: defineEndpoint({ method: "POST", input: free, output: free, mode: "polling", handle: work }),
    },
  });
  const script = ({ lastUser, messages }: { lastUser: string; messages: Anything[] }) => {
    const results = messages.filter(({ role }) => role === "tool").length;
    const [kind = "", id = ""] = lastUser.split(" ");
    if (results > 1 || (results === 1 && kind === "act")) return say("done");
    if (results === 1) return callTool("act", { id: `${id}-again` });
    if (kind === "model") return { steps: [{ text: "Wait" }, "hang" as const] };
    if (kind === "deep") return callTool("agent_deep", { message: `hold ${id}` });
    return callTool(kind === "asks" ? "asks" : kind, { id });
  };
  server.model.script("case", script);
  server.model.script("deep", script);
  second = await server.second();
}, TIMEOUT);
afterAll(async () => {
  console.info(
    `closed after ${closings.toSorted((a, b) => a - b)[closings.length >> 1]} ms, at most ${Math.max(...closings)} ms, of ${closings.length}`,
  );
  for (const { go } of held.values()) go();
  await second.stop();
  await server.stop();
});

type Someone = { client: HttpClient; token: string; tokenId: string; userId: UserId | null };
type Way = {
  /** Whether what was begun goes on, and what may still be read. */
  run: "ends" | "goes on";
  thread: "closed" | "open";
  /** Calls of endpoints that have begun: of a request, and of a job. */
  call: "ends" | "goes on";
  job: "ends" | "goes on";
  jobReading: "closed" | "open";
  prepare?: (agent: string, who: Someone) => Promise<unknown>;
  service?: true;
  end: (owner: HttpClient, who: Someone, agent: string) => Promise<Answer>;
};

const whole = { run: "ends", thread: "closed", call: "ends", job: "ends", jobReading: "closed" } as const;
const ofAgent = { run: "ends", thread: "open", call: "goes on", job: "goes on", jobReading: "open" } as const;
const invite = (agent: string, body: object) =>
  server
    .client()
    .patch(`/agents/${agent}`, { access_mode: "invited" })
    .then(() => server.client().put(`/agents/${agent}/access`, { users: [], groups: [], ...body }));

const ways: Record<string, Way> = {
  "the token is revoked": { ...whole, end: (owner, { tokenId }) => owner.post(`/tokens/${tokenId}/revoke`) },
  "the token is rotated without an overlap": {
    ...whole,
    // The token lives on with another secret, and with it what it has begun; requests of the old secret end.
    run: "goes on",
    job: "goes on",
    end: async (owner, { tokenId, userId }) => {
      const other = new HttpClient(owner.baseUrl, { token: await server.personalToken(userId as UserId) });
      return other.post(`/tokens/${tokenId}/rotate`, { overlap_seconds: 0 });
    },
  },
  "the person is removed": { ...whole, end: (owner, { userId }) => owner.delete(`/members/${userId}`) },
  "the person is suspended": {
    ...whole,
    end: (owner, { userId }) => owner.patch(`/members/${userId}`, { suspended: true }),
  },
  "the person becomes a guest": {
    ...ofAgent,
    call: "ends",
    job: "ends",
    end: (owner, { userId }) => owner.patch(`/members/${userId}`, { role: "guest" }),
  },
  "the person is not invited any more": {
    ...ofAgent,
    prepare: (agent, { userId }) => invite(agent, { users: [userId] }),
    end: (owner, _, agent) => owner.put(`/agents/${agent}/access`, { users: [], groups: [] }),
  },
  "the person leaves the invited group": {
    ...ofAgent,
    prepare: async (agent, { userId }) => {
      const group = { slug: `of-${agent}`, name: agent, user_ids: [userId] };
      await invite(agent, { groups: [must(await server.client().post("/groups", group)).id] });
    },
    end: async (owner, _, agent) => {
      const groups: Anything[] = must(await owner.get("/groups?limit=200")).data;
      return owner.patch(`/groups/${groups.find(({ slug }) => slug === `of-${agent}`).id}`, { user_ids: [] });
    },
  },
  "the agent is unpublished": { ...ofAgent, end: (owner, _, agent) => owner.post(`/agents/${agent}/unpublish`) },
  "the agent's API access is switched off": {
    ...ofAgent,
    end: (owner, _, agent) => owner.patch(`/agents/${agent}`, { api_access: false }),
  },
  "the agent leaves the service's list": {
    ...ofAgent,
    thread: "closed",
    service: true,
    end: (owner, { tokenId }) => owner.patch(`/tokens/${tokenId}`, { agent_ids: [] }),
  },
};

async function makeAgent(): Promise<{ slug: string; id: string }> {
  const slug = `case-${++count}`;
  const tools = ["act", "hold", { name: "asks", approval: "always" }].map((tool) =>
    typeof tool === "string" ? { name: tool } : tool,
  );
  const approvals = { approvers: ["caller", "owner"] };
  const draft = { name: slug, model: { id: "case" }, tools, agents: ["deep"], approvals };
  const { id } = must(await server.client().post("/agents", { slug, draft }));
  must(await server.client().post(`/agents/${slug}/publish`));
  return { slug, id };
}

async function someone(way: Way, agent: { slug: string; id: string }): Promise<Someone> {
  const deep = must(await server.client().get("/agents/deep")).id;
  const made = way.service
    ? { token: await server.service({ agent_ids: [agent.id, deep] as never }), userId: null }
    : await server.person("member");
  const client = server.client(made.token);
  const who = { client, token: made.token, tokenId: must(await client.get("/me")).token_id, userId: made.userId };
  await way.prepare?.(agent.slug, who);
  return who;
}

const callEndpoint = async (path: string, { token }: Someone, body: object, key?: string) => {
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    ...(key === undefined ? {} : { "idempotency-key": key }),
  };
  const url = `${server.baseUrl}/endpoints/${path}`;
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as Anything };
};

const owners = () => server.client();
const runNow = async (id: string): Promise<Anything> => must(await owners().get(`/runs/${id}`));
async function runWhen(id: string, fits: (run: Anything) => boolean): Promise<Anything> {
  for (;;) {
    const run = await runNow(id);
    if (fits(run)) return run;
    await sleep(20);
  }
}
const isEnded = ({ state }: Anything) => ["completed", "failed", "canceled"].includes(state);

/** Reads a stream to its end; resolves then. */
async function drain(stream: SseReader): Promise<string[]> {
  const types: string[] = [];
  for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) types.push(frame.event);
  return types;
}

/** What is waited for, and whether it has come yet. */
function watched<T>(work: Promise<T>) {
  const state = { done: false, atMs: 0, value: undefined as T | undefined };
  const settled = work.then(
    (value) => Object.assign(state, { done: true, atMs: performance.now(), value }),
    () => Object.assign(state, { done: true, atMs: performance.now() }),
  );
  return { state, settled };
}

async function everything(way: Way) {
  const agent = await makeAgent();
  const who = await someone(way, agent);
  const id = (kind: string) => `${agent.slug}-${kind}`;
  const start = async (kind: string): Promise<Anything> => {
    const input = { type: "user.message", text: `${kind} ${id(kind)}` };
    return must(await who.client.post(`/agents/${agent.slug}/runs`, { input }));
  };
  const idle = must(await who.client.post(`/agents/${agent.slug}/threads`, {})).thread.id as string;
  const runs = {
    model: await start("model"),
    hold: await start("hold"),
    deep: await start("deep"),
    asks: await start("asks"),
  };
  await Promise.all([hold(id("hold")).entered, hold(id("deep")).entered]);
  while (!server.model.calls("case").some(({ lastUser }) => lastUser === `model ${id("model")}`)) await sleep(10);
  const waiting = await runWhen(runs.asks.id, ({ state }) => state === "waiting");
  const job = must((await callEndpoint("job", who, { id: id("job"), agent: agent.slug }, "k1")) as never as Answer)
    .job_id as string;
  const keyed = watched(callEndpoint("sync", who, { id: id("keyed"), agent: agent.slug }, "k2"));
  const call = watched(callEndpoint("sync", who, { id: id("call"), agent: agent.slug }));
  await Promise.all(["job", "keyed", "call"].map((kind) => hold(id(kind)).entered));
  const open = {
    threadStream: watched(drain(await who.client.stream(`/threads/${runs.hold.thread_id}/events/stream`))),
    idleStream: watched(drain(await who.client.stream(`/threads/${idle}/events/stream`))),
    jobStream: watched(drain(await who.client.stream(`/jobs/${job}/stream`))),
    jobWait: watched(who.client.get(`/jobs/${job}?wait=60`)),
    runWait: watched(who.client.get(`/runs/${runs.hold.id}`, { headers: { prefer: "wait=60" } })),
    permissionWait: watched(
      who.client.get(`/permissions/${waiting.waiting_for[0].id}`, { headers: { prefer: "wait=60" } }),
    ),
    call,
    keyed,
  };
  await sleep(100); // the long polls are under way
  return { agent, who, id, idle, runs, waiting, job, open };
}

/** Rows that say that something was done for these runs after a time of the database's. */
async function doneSince(tokenId: string, since: string) {
  const rows = await server.app.database.rows<{ what: string }>(
    {
      name: "",
      text: `with own as (select organization_id, id, thread_id, created_at from runs where principal ->> 'tokenId' = $1)
        select 'run' as what from own where created_at > $2
        union all select 'step' from steps s join own r on s.organization_id = r.organization_id and s.run_id = r.id
                   where s.created_at > $2
        union all select 'call of ' || c.tool from tool_calls c
                    join own r on c.organization_id = r.organization_id and c.run_id = r.id where c.started_at > $2
        union all select 'file' from files f join own r on f.organization_id = r.organization_id and f.run_id = r.id
                   where f.created_at > $2
        union all select 'question' from permissions p
                    join own r on p.organization_id = r.organization_id and p.run_id = r.id where p.created_at > $2
        union all select 'event ' || e.type from events e
                    join own r on e.organization_id = r.organization_id and e.run_id = r.id
                   where (('{' || e.body)::json ->> 'created_at')::timestamptz > $2`,
    },
    [tokenId, since],
  );
  return rows.map(({ what }) => what);
}

/** A request whose body comes in two halves. */
function slowly(token: string, method: string, path: string, type: string, body: string) {
  const { hostname, port } = new URL(server.baseUrl);
  const headers = { authorization: `Bearer ${token}`, "content-type": type, "content-length": Buffer.byteLength(body) };
  const asked = request({ hostname, port, method, path, headers });
  const status = new Promise<number | undefined>((done, fail) => {
    asked.on("response", (response) => {
      response.resume();
      done(response.statusCode);
    });
    asked.on("error", fail);
  });
  asked.write(body.slice(0, -5));
  return { status, finish: () => asked.end(body.slice(-5)) };
}

test("a file that somebody downloads slowly is cut off", { timeout: TIMEOUT }, async () => {
  const agent = await makeAgent();
  const who = await someone(ways["the token is revoked"] as Way, agent);
  const bytes = 24 * 1024 * 1024; // more than sockets hold
  const form = new FormData();
  form.set("file", new Blob([Buffer.alloc(bytes, "a")]), "large.txt");
  const headers = { authorization: `Bearer ${who.token}` };
  const { thread } = must(await who.client.post(`/agents/${agent.slug}/threads`, {}));
  const to = `${server.baseUrl}/api/v1/threads/${thread.id}/files`;
  const file = (await (await fetch(to, { method: "POST", headers, body: form })).json()) as Anything;
  const { hostname, port } = new URL(server.baseUrl);
  let read = 0;
  const closed = new Promise<void>((done, fail) => {
    request({ hostname, port, path: `/api/v1/files/${file.id}/content`, headers }, (response) => {
      response.once("data", (chunk: Buffer) => {
        read += chunk.length;
        response.pause();
        response.on("data", (later: Buffer) => {
          read += later.length;
        });
        response.on("close", done);
        response.on("error", () => undefined);
        const revoked = server.client().post(`/tokens/${who.tokenId}/revoke`);
        void revoked.then(() => setTimeout(() => response.resume(), 8000));
      });
    })
      .on("error", fail)
      .end();
  });
  await closed;
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(bytes);
});

test("a body that was begun before comes too late", { timeout: TIMEOUT }, async () => {
  const way = ways["the token is revoked"] as Way;
  const agent = await makeAgent();
  const who = await someone(way, agent);
  const { thread } = must(await who.client.post(`/agents/${agent.slug}/threads`, {}));
  const form = `--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nlate\r\n--x--\r\n`;
  const [json, parts] = ["application/json", "multipart/form-data; boundary=x"];
  const api = "/api/v1";
  const message = JSON.stringify({ input: { type: "user.message", text: "act late" } });
  const requests = [
    slowly(who.token, "POST", `${api}/threads/${thread.id}/files`, parts, form),
    slowly(who.token, "POST", `${api}/agents/${agent.slug}/files`, parts, form),
    slowly(who.token, "PATCH", `${api}/threads/${thread.id}`, json, JSON.stringify({ title: "late" })),
    slowly(who.token, "POST", `${api}/documents/search`, json, JSON.stringify({ query: "late" })),
    slowly(who.token, "POST", `${api}/agents/${agent.slug}/runs`, json, message),
    slowly(who.token, "POST", "/endpoints/sync", json, JSON.stringify({ id: `${agent.slug}-slow`, agent: agent.slug })),
  ];
  await sleep(1200); // longer than anything is remembered
  must(await way.end(owners(), who, agent.slug));
  for (const { finish } of requests) finish();
  expect(await Promise.all(requests.map(({ status }) => status))).toEqual(requests.map(() => 401));
  const found = must(await owners().get(`/threads/${thread.id}`)).thread;
  expect(found).toMatchObject({ title: null, last_seq: thread.last_seq, last_run_id: null });
  expect(
    await server.row("select count(*)::int as n from files where created_by_id = $1", [toUuid(who.userId as UserId)]),
  ).toEqual({ n: 0 });
  expect(held.has(`${agent.slug}-slow`)).toBe(false);
});

const processes = {
  "this process": () => server.client(),
  "another process": () => new HttpClient(second.baseUrl, { token: server.token }),
};

describe.each(Object.keys(ways).flatMap((way) => Object.keys(processes).map((process) => [way, process] as const)))(
  "when %s on %s",
  (name, process) => {
    const way = ways[name] as Way;
    let had: Awaited<ReturnType<typeof everything>>;
    let since: string;
    let endedMs: number;
    let before: number;

    /** Closed in time, or open still. */
    async function expectClosed(what: keyof typeof had.open, isClosed: boolean) {
      const { state, settled } = had.open[what];
      if (!isClosed) {
        expect([what, state.done]).toEqual([what, false]);
        return;
      }
      await Promise.race([settled, sleep(Math.max(0, endedMs + PATIENCE_MS - performance.now()))]);
      expect([what, state.done]).toEqual([what, true]);
      closings.push(Math.max(0, Math.round(state.atMs - endedMs)));
    }
    const value = (what: keyof typeof had.open) => had.open[what].state.value as Anything;

    beforeAll(async () => {
      had = await everything(way);
      const row = await server.row<{ n: number }>(
        "select count(*)::int as n from runs where principal ->> 'tokenId' = $1",
        [had.who.tokenId],
      );
      before = row.n;
      const answer = await way.end(
        (processes[process as keyof typeof processes] as () => HttpClient)(),
        had.who,
        had.agent.slug,
      );
      must(answer);
      endedMs = performance.now();
      since = (await server.row<{ now: string }>("select clock_timestamp()::text as now")).now;
    }, TIMEOUT);
    afterAll(async () => {
      for (const [key, { go }] of held) if (key.startsWith(`${had.agent.slug}-`)) go();
      await owners().post(`/runs/${had.runs.model.id}/cancel`);
      await owners().delete(`/jobs/${had.job}`);
    }, TIMEOUT);

    test("streams and requests that wait are closed, with nothing in them, unless they may go on", async () => {
      await expectClosed("threadStream", way.thread === "closed");
      await expectClosed("idleStream", way.thread === "closed");
      await expectClosed("jobStream", way.jobReading === "closed" || way.job === "ends");
      await expectClosed("jobWait", way.jobReading === "closed" || way.job === "ends");
      await expectClosed("runWait", way.thread === "closed" || way.run === "ends");
      await expectClosed("permissionWait", way.thread === "closed");
      if (way.thread === "closed") {
        expect([401, 404]).toContain(value("runWait").status);
        expect([401, 404]).toContain(value("permissionWait").status);
      } else expect(value("runWait").body).toMatchObject({ state: "failed", error: { code: "access_revoked" } });
      if (way.jobReading === "closed") expect(value("jobWait").status).toBe(401);
    });

    test("calls of endpoints end, unless they may go on", async () => {
      for (const what of ["call", "keyed"] as const) {
        await expectClosed(what, way.call === "ends");
        if (way.call === "ends") expect([401, 403]).toContain(value(what).status);
      }
      if (way.job !== "ends") return;
      const job = must(await owners().get(`/jobs/${had.job}?wait=60`));
      expect(job).toMatchObject({ state: "failed" });
      expect(["unauthenticated", "forbidden"]).toContain(job.error.code);
    });

    test.runIf(way.run === "ends")("runs end in a model call, in a tool and in a sub-agent's tool", async () => {
      for (const kind of ["model", "hold", "deep"] as const) {
        const run = await runWhen(had.runs[kind].id, isEnded);
        expect([kind, run.state, run.error.code]).toEqual([kind, "failed", "access_revoked"]);
      }
      const children: Anything[] = must(await owners().get(`/runs?parent_run_id=${had.runs.deep.id}`)).data;
      expect(children).toHaveLength(1);
      const child = await runWhen(children[0].id, isEnded);
      expect(["failed", "canceled"]).toContain(child.state);
    });

    test("nothing can be asked for", async () => {
      const { client } = had.who;
      const message = { type: "user.message", text: "act late" };
      const answers = [
        await client.post(`/agents/${had.agent.slug}/runs`, { input: message }),
        await client.post(`/agents/${had.agent.slug}/threads`, { input: message }),
        await client.post(`/threads/${had.idle}/events`, message),
      ];
      for (const { status } of answers) expect([401, 403, 404, 409]).toContain(status);
      const read = await client.get(`/threads/${had.idle}`);
      expect(read.status === 200).toBe(way.thread === "open");
    });

    test.runIf(way.thread === "closed")("no small act is done either", async () => {
      const { client } = had.who;
      const place = { thread: `/threads/${had.idle}`, run: `/runs/${had.runs.asks.id}` };
      const permission = had.waiting.waiting_for[0].id as string;
      const before = must(await owners().get(place.thread)).thread;
      const upload = { name: "late.txt", content_base64: "" };
      const answers = [
        await client.patch(place.thread, { title: "late" }),
        await client.post(`${place.thread}/archive`),
        await client.post(`${place.thread}/unarchive`),
        await client.post(`${place.thread}/files`, upload),
        await client.post(`/agents/${had.agent.slug}/files`, upload),
        await client.post(`${place.run}/cancel`),
        await client.post(`/permissions/${permission}/decision`, { decision: "deny" }),
        await client.delete(place.thread),
        ...(way.jobReading === "closed" ? [await client.delete(`/jobs/${had.job}`)] : []),
      ];
      expect(answers.filter(({ status }) => status !== 401 && status !== 404)).toEqual([]);
      expect(must(await owners().get(place.thread)).thread).toEqual(before);
    });

    test("a yes that comes later starts nothing, and what is let go does nothing more", async () => {
      const { id, runs, waiting } = had;
      const decision = {
        type: "permission.decision",
        permission_id: waiting.waiting_for[0].id,
        decision: "allow_once",
      };
      must(await owners().post(`/threads/${runs.asks.thread_id}/events`, decision));
      for (const kind of ["hold", "deep", "job", "keyed", "call"]) hold(id(kind)).go();
      for (const kind of ["hold", "deep", "asks"] as const) await runWhen(runs[kind].id, isEnded);
      await Promise.all([had.open.call.settled, had.open.keyed.settled]);
      const job = must(await owners().get(`/jobs/${had.job}?wait=60`));
      expect(["completed", "failed"]).toContain(job.state);
      const own = acts.filter((act) => act.startsWith(`${had.agent.slug}-`));
      if (way.run === "ends") expect(own).toEqual([]);
      else {
        const begun = [id("hold"), id("deep"), id("asks"), id("job")];
        expect(own.filter((act) => act.startsWith(id("call")) || act.startsWith(id("keyed")))).toEqual([]);
        for (const act of begun) expect(own).toContain(act);
      }
    });

    test.runIf(way.run === "ends")("the database has no act that came after it", async () => {
      const done = await doneSince(had.who.tokenId, since);
      const allowed = ["event run.failed", "event run.canceled", "event tool.call.completed"];
      // The owner's yes, to a run that may do nothing with it.
      const answered = ["event permission.decided", "event run.queued", "event run.resumed", "event run.started"];
      expect(done.filter((what) => ![...allowed, ...answered].includes(what))).toEqual([]);
      const row = await server.row<{ n: number }>(
        "select count(*)::int as n from runs where principal ->> 'tokenId' = $1",
        [had.who.tokenId],
      );
      expect(row.n).toBe(before);
      expect(before).toBeGreaterThan(4);
    });
  },
);
