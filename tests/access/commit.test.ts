/**
 * A change of access is before an act or after it, never during it (`access/epoch.ts`, E3).
 *
 * Each act meets both races by their locks: access that is being changed when the act is about to be written, and
 * access that changes while the act waits for what it is about.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fromUuid, type Route, type RouteName, routes, toUuid, type UserId } from "@callboard/protocol";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Anything, type Caller, createWorld, type OfHouse, type Works, type World } from "./cast.ts";
import { must } from "./hostile-world.ts";
import { type Rule, rules } from "./rules.ts";

let world: World;
/** Another process, which holds locks. */
let other: pg.Client;
/** Sees who waits for it; within a transaction one would see the same all the time. */
let watcher: pg.Client;
let pid: number;
beforeAll(async () => {
  world = await createWorld();
  other = new pg.Client({ connectionString: world.server.databaseUrl });
  watcher = new pg.Client({ connectionString: world.server.databaseUrl });
  await Promise.all([other.connect(), watcher.connect()]);
  pid = (await other.query("select pg_backend_pid() as pid")).rows[0].pid;
}, 600_000);
afterEach(() => other.query("rollback"));
afterAll(async () => {
  await Promise.all([other.end(), watcher.end()]);
  await world.stop();
});

const DONE = "done";
/** Waits until somebody waits for a lock of ours, or `work` is done without. */
async function untilBlocked(work: Promise<unknown>): Promise<typeof DONE | "blocked"> {
  let isDone = false;
  const done = () => {
    isDone = true;
  };
  work.then(done, done);
  const blocked = "select 1 from pg_stat_activity where $1 = any(pg_blocking_pids(pid))";
  while (!isDone) {
    if ((await watcher.query(blocked, [pid])).rowCount !== 0) return "blocked";
    await sleep(10);
  }
  return DONE;
}

/** Everything that somebody might have changed, in numbers that change with it. */
async function digest(): Promise<Record<string, string>> {
  const tables = ["threads", "permissions", "files", "agents", "agent_versions", "tokens", "groups"];
  const more = ["model_connections", "budgets", "invitations", "sso_connections", "document_collections", "documents"];
  const sum = (table: string) =>
    `(select count(*) || ' ' || coalesce(sum(hashtext((to_jsonb(x) - 'last_used_at')::text)), 0) from ${table} x) as ${table}`;
  const counts = ["runs", "jobs", "sessions", "password_links", "idempotency_keys", "memberships"];
  const count = (table: string) => `(select count(*)::text from ${table}) as ${table}`;
  return world.server.row(`select ${[...[...tables, ...more].map(sum), ...counts.map(count)].join(", ")}`);
}

const suspend = (isSuspended: boolean, { house, userId }: Caller) => {
  const ids = [toUuid(house.organization.id), toUuid(userId as UserId)];
  return other
    .query("update organizations set access_epoch = access_epoch + 1 where id = $1", [ids[0]])
    .then(() =>
      other.query(`update memberships set suspended = ${isSuspended} where organization_id = $1 and user_id = $2`, ids),
    );
};

/** What writes, for somebody. Searching has a body and writes nothing. */
const writing = (Object.keys(routes) as RouteName[]).filter(
  (name) => routes[name].method !== "GET" && rules[name].open !== true && name !== "documents.search",
);

/** A thing that the caller may do this to, and nobody else needs. */
async function thingFor(rule: Rule, caller: Caller): Promise<string> {
  const { fresh, home } = world;
  switch (rule.kind) {
    case "work":
      return (await fresh.works(caller))[rule.thing as keyof Works];
    case "house":
      return fresh.there(home, rule.thing as OfHouse);
    case "agent":
      return fresh.agent(home);
    case "token":
      return fresh.tokenOf(home, "service");
    case "member":
      return fresh.member(home);
    case "session":
      return caller.sessionId as string;
    case "nothing":
      return "";
  }
}

describe("while access is being changed", () => {
  const expectRefused = async (caller: Caller, act: () => Promise<{ status: number; text: string }>) => {
    const before = await digest();
    await other.query("begin");
    await suspend(true, caller);
    const asked = act();
    const first = await untilBlocked(asked);
    await other.query("commit");
    const { status, text } = await asked;
    const after = await digest();
    await suspend(false, caller);
    expect([first, status, text]).toEqual(["blocked", 401, expect.any(String)]);
    expect(after).toEqual(before);
  };

  test.each(writing)("%s waits, and then is refused", async (name) => {
    const rule = rules[name];
    const route: Route = routes[name];
    const caller = rule.sessionOnly === true ? await world.fresh.session() : world.callers.owner;
    const id = await thingFor(rule, caller);
    const path = route.path.replace("{version}", "1").replace(/\{\w+\}/, id);
    const body = typeof rule.body === "function" ? rule.body(caller.house) : rule.body;
    await expectRefused(caller, () => caller.send(route.method, path, body));
  });

  const onThread = { "a run on a thread": "/agents/desk/runs", "a raw run on a thread": "/runs" };
  test.each(Object.entries(onThread))("%s waits, and then is refused", async (_, path) => {
    const caller = world.callers.owner;
    const agent = world.home.agents.desk;
    const { thread } = must(await world.home.owner.post(`/agents/${agent}/threads`, {}));
    const input = { type: "user.message", text: "hello" };
    const raw = path === "/runs" ? { agent_id: agent, config: {} } : {};
    await expectRefused(caller, () => caller.send("POST", path, { ...raw, input, thread_id: thread.id }));
  });

  test.each([
    ["a call of an endpoint as a job", "work", {}],
    ["the same with a key", "work", { "idempotency-key": "late-job" }],
    ["a call of an endpoint with a key", "answers", { "idempotency-key": "late-call" }],
  ])("%s waits, and then is refused", async (_, endpoint, headers) => {
    const authorization = `Bearer ${world.home.organization.token}`;
    await expectRefused(world.callers.owner, async () => {
      const answer = await fetch(`${world.server.baseUrl}/endpoints/${endpoint}`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json", ...headers },
        body: JSON.stringify({ late: true }),
      });
      return { status: answer.status, text: await answer.text() };
    });
  });

  test("what has the same rights afterwards is done", async () => {
    const { owner } = world.home;
    const { thread } = must(await owner.post(`/agents/${world.home.agents.desk}/threads`, {}));
    await other.query("begin");
    await other.query("update organizations set access_epoch = access_epoch + 1");
    const form = new FormData();
    form.append("file", new Blob(["bytes"]), "late.txt");
    const acts = [
      owner.patch(`/threads/${thread.id}`, { title: "renamed" }),
      owner.send("POST", `/threads/${thread.id}/files`, { body: form }),
    ];
    expect(await untilBlocked(Promise.all(acts))).toBe("blocked");
    await other.query("commit");
    const [renamed, uploaded] = (await Promise.all(acts)).map(must);
    expect(renamed.title).toBe("renamed");
    expect(uploaded).toMatchObject({ name: "late.txt", size_bytes: 5 });
  });
});

describe("when the right ends while the act waits for its thread", () => {
  /** Somebody with a thread on which everything can be done, and who has done nothing yet. */
  async function someone() {
    const { organization, agents } = world.home;
    const { userId, token } = await organization.person("member");
    const client = organization.client(token);
    const input = { type: "user.message", text: "hello" };
    const { thread, run } = must(await client.post(`/agents/${agents.asker}/threads`, { input }));
    let waiting: Anything;
    do waiting = must(await client.get(`/runs/${run.id}`));
    while (waiting.waiting_for === undefined);
    const file = must(await client.post(`/threads/${thread.id}/files`, { name: "a.txt", content_base64: "" }))
      .id as string;
    const idle = must(await client.post(`/agents/${agents.asker}/threads`, {})).thread.id as string;
    const permission = waiting.waiting_for[0].id as string;
    return {
      client,
      userId,
      agent: agents.asker,
      thread: thread.id as string,
      run: run.id as string,
      file,
      idle,
      permission,
    };
  }
  type Someone = Awaited<ReturnType<typeof someone>>;
  const message = { type: "user.message", text: "late" };
  const decision = { type: "permission.decision", decision: "allow_once" };
  const upload = { name: "late.txt", content_base64: "" };

  const acts: Record<string, (who: Someone) => [thread: string, method: string, path: string, body?: unknown]> = {
    rename: ({ idle }) => [idle, "PATCH", `/threads/${idle}`, { title: "late" }],
    archive: ({ idle }) => [idle, "POST", `/threads/${idle}/archive`],
    unarchive: ({ idle }) => [idle, "POST", `/threads/${idle}/unarchive`],
    delete: ({ idle }) => [idle, "DELETE", `/threads/${idle}`],
    "a message": ({ idle }) => [idle, "POST", `/threads/${idle}/events`, message],
    "a run": ({ agent, idle }) => [idle, "POST", `/agents/${agent}/runs`, { input: message, thread_id: idle }],
    "an interrupt": ({ thread }) => [thread, "POST", `/threads/${thread}/events`, { type: "user.interrupt" }],
    "a cancel": ({ thread, run }) => [thread, "POST", `/runs/${run}/cancel`],
    "a decision": ({ thread, permission }) => [
      thread,
      "POST",
      `/permissions/${permission}/decision`,
      { decision: "deny" },
    ],
    "a decision in the thread": ({ thread, permission: permission_id }) => [
      thread,
      "POST",
      `/threads/${thread}/events`,
      { ...decision, permission_id },
    ],
    "an upload": ({ idle }) => [idle, "POST", `/threads/${idle}/files`, upload],
    "a file's end": ({ thread, file }) => [thread, "DELETE", `/files/${file}`],
  };
  test.each(Object.keys(acts))("%s is refused, and held the change of access up in nothing", async (name) => {
    const who = await someone();
    const [thread, method, path, json] = (acts[name] as (typeof acts)[string])(who);
    const before = await digest();
    await other.query("begin");
    const uuid = toUuid(thread as Parameters<typeof toUuid>[0]);
    await other.query("select 1 from threads where id = $1 for update", [uuid]);
    const asked = who.client.send(method, path, json === undefined ? {} : { json });
    expect(await untilBlocked(asked)).toBe("blocked");
    must(await world.home.owner.patch(`/members/${who.userId}`, { suspended: true }));
    await other.query("commit");
    const { status } = await asked;
    expect(status).toBe(401);
    expect(await digest()).toEqual(before);
    const shown = must(await world.home.owner.get(`/threads/${fromUuid("thread", uuid)}`)).thread;
    expect(shown).toMatchObject({ title: null, archived: false });
  });
});
