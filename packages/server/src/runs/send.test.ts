import { newId, type PermissionId, type Run, type ThreadId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { statement } from "../storage/index.ts";
import type { Claim } from "./claim.ts";
import { createRunsWorld, type RunsWorld, TestHost } from "./fixture.ts";
import { allowancesOf, expiredPermissions, permissionsOf } from "./permission-store.ts";
import { callsOf, steeringAfter } from "./store.ts";

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(() => world.end());

const expireAll = statement(
  "test.expire_all",
  "update permissions set expires_at = now() - interval '1 second' where run_id = $1",
);

const typesOf = async (thread: ThreadId) => (await world.logOf(thread)).map(({ type }) => type);
async function begin(): Promise<{ thread: ThreadId; claim: Claim }> {
  const { thread } = await world.start();
  return { thread: thread.id, claim: world.host.last() };
}
/** The run asks a person about `count` calls and waits. */
async function ask({ claim }: { claim: Claim }, count = 1): Promise<PermissionId[]> {
  const asked = Array.from({ length: count }, (_, position) => ({
    position,
    call: newId("call"),
    permission: newId("permission"),
  }));
  const waitingFor = asked.map(({ permission }) => ({ kind: "permission" as const, id: permission }));
  const written = await world.commits.commit(claim.key, claim.fence, {
    events: [world.event(claim, "run.waiting", { waiting_for: waitingFor })],
    calls: asked.map(({ position, call }) => ({
      step: 0,
      position,
      id: toUuid(call),
      modelCallId: `c${position}`,
      tool: "refund",
      input: {},
      effect: "once",
      state: "waiting",
      at: null,
      outputText: null,
    })),
    permissions: asked.map(({ call, permission }) => world.question(permission, call)),
    end: world.ending("waiting", { waitingFor }),
  });
  expect(written.kind).toBe("committed");
  return asked.map(({ permission }) => permission);
}
const decide = (permission_id: PermissionId, decision: "allow_once" | "allow_for_thread" | "deny", message?: string) =>
  ({ type: "permission.decision", permission_id, decision, ...(message === undefined ? {} : { message }) }) as const;

describe("a message to an idle thread", () => {
  test("starts a run that this process claims in the same commit", async () => {
    const { thread } = await world.start({ text: null });
    const { events, thread: shown } = await world.send(thread.id, world.message("Hello"));
    expect(events).toMatchObject([
      { type: "user.message", seq: 1, run: { state: "running", trigger: "message", attempt: 1 } },
    ]);
    expect(shown).toMatchObject({ state: "running", last_seq: 3, active_run_id: events[0]?.run?.id });
    expect(world.host.last().key.runId).toBe(events[0]?.run?.id);
    expect(await typesOf(thread.id)).toEqual(["user.message", "run.queued", "run.started"]);
  });

  test("is queued first when there is no room here", async () => {
    const full = new TestHost();
    full.room = false;
    const { thread } = await world.start({ text: null });
    const { events } = await world.sendFor(full, thread.id, world.message("Hello"));
    expect(events[0]?.run).toMatchObject({ state: "queued", attempt: 0, started_at: null });
    expect(full.adopted).toEqual([]);
    expect(await world.threadOf(thread.id)).toMatchObject({ state: "running", queued: 0, active_fence: 1 });
    expect(await world.claimOf(thread.id)).toHaveLength(1);
  });
});

describe("a message while a run is active", () => {
  test("enqueue: waits for its turn", async () => {
    const { thread, claim } = await begin();
    const { events } = await world.send(thread, world.message("next", "enqueue"));
    expect(events[0]?.run).toMatchObject({ state: "queued" });
    expect(await world.threadOf(thread)).toMatchObject({ queued: 1, active_run_id: claim.key.run });
    expect(await world.complete(claim)).toMatchObject({ queued: true });
  });

  test("reject: is refused, also when the runs before it are only queued", async () => {
    const { thread, claim } = await begin();
    await expect(world.send(thread, world.message("no", "reject"))).rejects.toMatchObject({ code: "run_active" });
    await world.send(thread, world.message("next"));
    await world.complete(claim);
    await expect(world.send(thread, world.message("no", "reject"))).rejects.toMatchObject({ code: "run_active" });
    expect((await typesOf(thread)).filter((type) => type === "user.message")).toHaveLength(2);
  });

  test("interrupt: ends the active run and takes its place", async () => {
    const { thread, claim } = await begin();
    const { events } = await world.send(thread, world.message("stop, do this", "interrupt"));
    expect(await world.runOf(claim.key.runId)).toMatchObject({ state: "canceled", error: { code: "interrupted" } });
    expect(events[0]?.run).toMatchObject({ state: "running", trigger: "interrupt" });
    expect(world.host.dropped).toContain(claim.key.run);
    expect(world.host.last().key.runId).toBe(events[0]?.run?.id);
    expect((await typesOf(thread)).slice(3)).toEqual(["run.canceled", "user.message", "run.queued", "run.started"]);
    expect(await world.complete(claim)).toEqual({ kind: "fenced" });
  });

  test("steer: joins the active run, and starts none", async () => {
    const { thread, claim } = await begin();
    const { events } = await world.send(
      thread,
      world.message("also in blue", "steer"),
      world.message("and red", "steer"),
    );
    expect(events.map(({ run }) => run?.id)).toEqual([claim.key.runId, claim.key.runId]);
    expect(await world.runsOf(thread)).toHaveLength(1);
    const joined = await steeringAfter(world.database, claim.key.organization, claim.key.run, 0);
    expect(joined).toEqual([
      { content: [{ type: "text", text: "also in blue" }], seq: 4 },
      { content: [{ type: "text", text: "and red" }], seq: 5 },
    ]);
    expect(await steeringAfter(world.database, claim.key.organization, claim.key.run, 1)).toHaveLength(1);
  });

  test("steer, with no run to join, starts one", async () => {
    const { thread } = await world.start({ text: null });
    const { events } = await world.send(thread.id, world.message("Hello", "steer"));
    expect(events[0]?.run).toMatchObject({ state: "running", trigger: "message" });
  });
});

describe("an interrupt", () => {
  test("cancels the active run, and the next one may start", async () => {
    const { thread, claim } = await begin();
    await world.send(thread, world.message("next"));
    let wakes = 0;
    const leave = world.wakes.on("queue", () => wakes++);
    const { events } = await world.send(thread, { type: "user.interrupt", run_id: claim.key.runId });
    leave();
    expect(events[0]).toMatchObject({
      type: "user.interrupt",
      run: { state: "canceled", error: { code: "canceled" } },
    });
    expect((await world.logOf(thread)).find(({ id }) => id === events[0]?.event_id)).toMatchObject({
      type: "run.canceled",
      seq: events[0]?.seq,
    });
    expect(wakes).toBe(1);
    expect(await world.claimOf(thread)).toHaveLength(1);
  });

  test("without an active run, or meant for another one, is refused", async () => {
    const { thread } = await world.start({ text: null });
    await expect(world.send(thread.id, { type: "user.interrupt" })).rejects.toMatchObject({ code: "no_active_run" });
    const active = await begin();
    const other = { type: "user.interrupt", run_id: newId("run") } as const;
    await expect(world.send(active.thread, other)).rejects.toMatchObject({ code: "no_active_run" });
    expect(await world.runOf(active.claim.key.runId)).toMatchObject({ state: "running" });
  });

  test("of a run that the same batch started leaves nothing to work on", async () => {
    const { thread } = await world.start({ text: null });
    const before = world.host.adopted.length;
    const { events } = await world.send(thread.id, world.message("Hello"), { type: "user.interrupt" });
    expect(events[1]?.run).toMatchObject({ id: events[0]?.run?.id, state: "canceled" });
    expect(world.host.adopted.length).toBe(before);
    expect(await world.threadOf(thread.id)).toMatchObject({ state: "idle", active_run_id: null, queued: 0 });
  });
});

describe("a batch", () => {
  test("is all or nothing, in order", async () => {
    const { thread, claim } = await begin();
    const before = await world.logOf(thread);
    const batch = world.send(thread, world.message("one"), { type: "user.interrupt" }, { type: "user.interrupt" });
    await expect(batch).rejects.toMatchObject({ code: "no_active_run" });
    expect(await world.logOf(thread)).toEqual(before);
    expect(await world.runOf(claim.key.runId)).toMatchObject({ state: "running" });
    expect(world.host.dropped).not.toContain(claim.key.run);
    const { events } = await world.send(thread, { type: "user.interrupt" }, world.message("one"), world.message("two"));
    expect(events.map(({ run }) => run?.state)).toEqual(["canceled", "running", "queued"]);
    expect(events.map(({ seq }) => seq)).toEqual([...events.map(({ seq }) => seq)].sort((a, b) => a - b));
  });

  test("to an archived thread is refused", async () => {
    const { thread } = await world.start({ text: null });
    await world.archive(thread.id, true);
    await expect(world.send(thread.id, world.message("Hello"))).rejects.toMatchObject({ code: "thread_archived" });
    await world.archive(thread.id, false);
    await expect(world.send(thread.id, world.message("Hello"))).resolves.toBeDefined();
  });
});

describe("a permission decision", () => {
  test("brings the run back to the queue, and the answer is in the log", async () => {
    const begun = await begin();
    const [permission] = await ask(begun);
    expect(await world.threadOf(begun.thread)).toMatchObject({ state: "waiting", active_run_id: begun.claim.key.run });
    const { events } = await world.send(begun.thread, decide(permission as PermissionId, "allow_once", "go ahead"));
    expect(events[0]).toMatchObject({ type: "permission.decision", run: { state: "queued" } });
    expect(await world.threadOf(begun.thread)).toMatchObject({ state: "running" });
    expect((await world.logOf(begun.thread)).at(-1)).toMatchObject({
      type: "permission.decided",
      data: { permission_id: permission, decision: "allow_once", message: "go ahead", decided_by: { kind: "user" } },
    });
    const [claim] = await world.claimOf(begun.thread);
    expect(claim?.row.waiting_for).toBeNull();
    expect((await world.logOf(begun.thread)).at(-1)).toMatchObject({
      type: "run.resumed",
      data: { reason: "answered" },
    });
  });

  test("is waited for until the last question is answered", async () => {
    const begun = await begin();
    const [first, second] = (await ask(begun, 2)) as [PermissionId, PermissionId];
    const one = await world.send(begun.thread, decide(first, "deny"));
    expect(one.events[0]?.run).toMatchObject({ state: "waiting", waiting_for: [{ kind: "permission", id: second }] });
    expect(await world.claimOf(begun.thread)).toEqual([]);
    const two = await world.send(begun.thread, decide(second, "allow_once"));
    expect(two.events[0]?.run).toMatchObject({ state: "queued" });
    expect(await world.claimOf(begun.thread)).toHaveLength(1);
  });

  test("is made once", async () => {
    const begun = await begin();
    const [permission] = (await ask(begun)) as [PermissionId];
    const both = await Promise.allSettled([
      world.send(begun.thread, decide(permission, "allow_once")),
      world.send(begun.thread, decide(permission, "deny")),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const lost = both.find((one): one is PromiseRejectedResult => one.status === "rejected");
    expect(lost?.reason).toMatchObject({ code: "permission_decided" });
    expect((await typesOf(begun.thread)).filter((type) => type === "permission.decided")).toHaveLength(1);
  });

  test("for the rest of the thread is remembered for the agent's version", async () => {
    const begun = await begin();
    const [permission] = (await ask(begun)) as [PermissionId];
    await world.send(begun.thread, decide(permission, "allow_for_thread"));
    const { organization, thread } = begun.claim.key;
    expect(await allowancesOf(world.database, organization, thread, 1)).toEqual([{ tool: "refund", scope: "" }]);
    expect(await allowancesOf(world.database, organization, thread, 2)).toEqual([]);
  });

  test("of another thread, or of nothing, is not found, with its place in the batch", async () => {
    const begun = await begin();
    const [permission] = (await ask(begun)) as [PermissionId];
    const other = await begin();
    const batch = world.send(other.thread, world.message("x", "steer"), decide(permission, "allow_once"));
    await expect(batch).rejects.toMatchObject({
      code: "not_found",
      details: { fields: [{ path: "events[1].permission_id" }] },
    });
    expect(await permissionsOf(world.database, begun.claim.key.organization, begun.claim.key.run)).toMatchObject([
      { state: "pending" },
    ]);
  });

  test("that comes too late is refused as expired", async () => {
    const begun = await begin();
    const [permission] = (await ask(begun)) as [PermissionId];
    await world.database.run(expireAll, [begun.claim.key.run]);
    expect((await expiredPermissions(world.database)).map(({ id }) => id)).toContain(toUuid(permission));
    // The test's clock starts now and moves on, so it is past the request's end too.
    await expect(world.send(begun.thread, decide(permission, "allow_once"))).rejects.toMatchObject({
      code: "permission_expired",
    });
  });
});

describe("the end of a run that asked", () => {
  test("closes its questions and its open calls", async () => {
    const begun = await begin();
    const [permission] = (await ask(begun)) as [PermissionId];
    await world.cancel(begun.thread, begun.claim.key.runId);
    expect((await world.logOf(begun.thread)).slice(-2)).toMatchObject([
      { type: "permission.decided", data: { permission_id: permission, decision: "expired" } },
      { type: "run.canceled" },
    ]);
    const { organization, run } = begun.claim.key;
    expect(await callsOf(world.database, organization, [run])).toMatchObject([{ state: "denied" }]);
    expect(await world.threadOf(begun.thread)).toMatchObject({ state: "idle" });
    await expect(world.send(begun.thread, decide(permission, "allow_once"))).rejects.toMatchObject({
      code: "permission_expired",
    });
  });

  test("says of a call under way that its outcome is not known", async () => {
    const begun = await begin();
    const at = world.now().toISOString();
    const call = newId("call");
    const row = {
      step: 0,
      position: 0,
      id: toUuid(call),
      modelCallId: "c",
      tool: "refund",
      input: {},
      effect: "once",
    } as const;
    await world.commits.commit(begun.claim.key, begun.claim.fence, {
      events: [world.event(begun.claim, "tool.call.started", { call_id: call, tool: "refund" })],
      calls: [{ ...row, state: "started", at, outputText: null }],
    });
    await world.cancel(begun.thread, begun.claim.key.runId);
    expect((await world.logOf(begun.thread)).slice(-2)).toMatchObject([
      { type: "tool.call.completed", data: { call_id: call, outcome: "unknown" } },
      { type: "run.canceled", data: { error: { code: "canceled" } } },
    ]);
  });
});

describe("canceling", () => {
  test("a queued run leaves the others as they are", async () => {
    const { thread, claim } = await begin();
    const { events } = await world.send(thread, world.message("next"), world.message("last"));
    await world.cancel(thread, events[0]?.run?.id as Run["id"]);
    expect((await world.runsOf(thread)).map(({ state }) => state)).toEqual(["running", "canceled", "queued"]);
    expect(await world.threadOf(thread)).toMatchObject({ state: "running", queued: 1, active_run_id: claim.key.run });
    await world.complete(claim);
    expect((await world.claimOf(thread))[0]?.key.runId).toBe(events[1]?.run?.id);
  });

  test("a queued run while another one waits for a person leaves the thread waiting", async () => {
    const begun = await begin();
    const { events } = await world.send(begun.thread, world.message("next"));
    await ask(begun);
    await world.cancel(begun.thread, events[0]?.run?.id as Run["id"]);
    expect(await world.threadOf(begun.thread)).toMatchObject({ state: "waiting", queued: 0 });
  });

  test("a run that has ended, or is not there, is refused", async () => {
    const { thread, claim } = await begin();
    await world.complete(claim);
    await expect(world.cancel(thread, claim.key.runId)).rejects.toMatchObject({ code: "run_not_active" });
    await expect(world.cancel(thread, newId("run"))).rejects.toMatchObject({ code: "not_found" });
    const other = await begin();
    await expect(world.cancel(thread, other.claim.key.runId)).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("a thread as a whole", () => {
  test("is archived when it is idle, once, and repeating changes nothing", async () => {
    const { thread, claim } = await begin();
    await expect(world.archive(thread, true)).rejects.toMatchObject({ code: "run_active" });
    await world.complete(claim);
    expect(await world.archive(thread, true)).toMatchObject({ archived: true });
    const log = await typesOf(thread);
    expect(await world.archive(thread, true)).toMatchObject({ archived: true });
    expect(await typesOf(thread)).toEqual(log);
    expect(log.at(-1)).toBe("thread.archived");
    await world.archive(thread, false);
    expect((await typesOf(thread)).at(-1)).toBe("thread.unarchived");
  });

  test("deleted takes all it has along, and tells who works on it and who follows it", async () => {
    const begun = await begin();
    await ask(begun);
    await world.send(begun.thread, world.message("next"));
    const ended: string[] = [];
    world.feed.follow(begun.claim.key, 0, { deliver: () => true, end: (reason) => ended.push(reason) });
    await world.remove(begun.thread);
    expect(ended).toEqual(["deleted"]);
    expect(world.host.dropped).toContain(begun.claim.key.run);
    const { organization, thread, run } = begun.claim.key;
    for (const table of [
      "threads",
      "runs",
      "events",
      "tool_calls",
      "steps",
      "permissions",
      "files",
      "thread_allowances",
    ]) {
      const column = table === "threads" ? "id" : ["tool_calls", "steps"].includes(table) ? "run_id" : "thread_id";
      const text = `select count(*)::int as n from ${table} where organization_id = $1 and ${column} = $2`;
      const count = { name: `test.count_${table}`, text };
      expect(await world.database.row(count, [organization, column === "run_id" ? run : thread])).toEqual({ n: 0 });
    }
    await expect(world.remove(begun.thread)).rejects.toMatchObject({ code: "not_found" });
  });
});
