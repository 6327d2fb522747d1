import { randomUUID } from "node:crypto";
import { type Event, fromUuid, newId, toUuid, type UserId } from "@callboard/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Lane, Statement } from "../storage/index.ts";
import type { Change, StepRow } from "./change.ts";
import type { Claim } from "./claim.ts";
import { createRunsWorld, type RunsWorld } from "./fixture.ts";
import { permissionsOf } from "./permission-store.ts";
import { callsOf, stepsOf } from "./store.ts";

/**
 * What the connection does with the next writes:
 * `lose answer`: the write commits, its answer is lost. `lose`: it never reaches the database.
 * `late`: it is lost, but the database goes on with it and commits just before the next try.
 */
type Fault = "lose answer" | "lose" | "late";
let faults: Fault[] = [];
let writes = 0;
let late: (() => Promise<unknown>) | undefined;
const broken = () => new Error("Connection terminated unexpectedly");

function faulty(lane: Lane): Pick<Lane, "rows" | "close"> {
  return {
    close: () => lane.close(),
    async rows<Row>(one: Statement, values: readonly unknown[]): Promise<Row[]> {
      if (!/^runs\.(append|commit)/.test(one.name)) return lane.rows<Row>(one, values);
      writes++;
      await late?.();
      late = undefined;
      const fault = faults.shift();
      if (fault === undefined) return lane.rows<Row>(one, values);
      if (fault === "lose answer") await lane.rows<Row>(one, values);
      if (fault === "late") late = () => lane.rows<Row>(one, values);
      throw broken();
    },
  };
}

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld({ lane: faulty });
});
afterAll(() => world.end());
afterEach(() => {
  expect(faults).toEqual([]);
});

async function begin(): Promise<Claim> {
  await world.start();
  return world.host.last();
}
const delta = (claim: Claim, text: string): Change => ({ events: [world.delta(claim, text)] });
const write = (claim: Claim, change: Change) => world.commits.commit(claim.key, claim.fence, change);
/** The texts of the deltas in a log, and that its numbers have no gap. */
async function textsOf(claim: Claim): Promise<string[]> {
  const log = await world.logOf(claim.key.threadId);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1));
  expect((await world.threadOf(claim.key.threadId)).last_seq).toBe(log.length);
  return log.flatMap((event: Event) => (event.type === "agent.message.delta" ? [event.data.text] : []));
}
const step = (n: number): StepRow => ({
  step: n,
  message: toUuid(newId("message")),
  provider: "test",
  model: "m",
  joined: [],
  steered: 0,
  parts: [{ type: "text", text: "Hi" }],
  finish: "stop",
  usage: { input_tokens: 5, output_tokens: 7, cost_micros: 9 },
  price: { input: 1, output: 2 },
  at: world.now().toISOString(),
});

describe("changes of many runs", () => {
  test("that come together are one statement, and each is answered", async () => {
    const claims = [await begin(), await begin(), await begin()];
    writes = 0;
    const results = await Promise.all(
      claims.flatMap((claim) => [write(claim, delta(claim, "a")), write(claim, delta(claim, "b"))]),
    );
    expect(writes).toBe(1);
    expect(results).toEqual(results.map(() => ({ kind: "committed", steered: 0, queued: false })));
    for (const claim of claims) expect(await textsOf(claim)).toEqual(["a", "b"]);
  });

  test("reach followers with the numbers they have in the log", async () => {
    const claim = await begin();
    const seen: number[] = [];
    const reader = {
      deliver: (events: readonly { seq: number }[]) => seen.push(...events.map(({ seq }) => seq)) > 0,
      end: () => {},
    };
    const follower = world.feed.follow(claim.key, 3, reader);
    await Promise.all([write(claim, delta(claim, "a")), write(claim, delta(claim, "b"))]);
    await write(claim, delta(claim, "c"));
    while (seen.length < 3) await new Promise(setImmediate);
    expect(seen).toEqual([4, 5, 6]);
    follower.close();
  });

  test("everything of a step is written with it", async () => {
    const claim = await begin();
    const call = { id: randomUUID(), step: 0, position: 0 };
    const asked = world.question(newId("permission"), fromUuid("call", call.id), {
      input: { n: 1 },
      argumentsHash: "ab".repeat(32),
      scope: "customer 7",
      approvals: { approvers: ["owner", "group:finance"], not_requester: true, on_expiry: "deny" },
    });
    const at = world.now().toISOString();
    await write(claim, {
      events: [world.delta(claim, "a")],
      steps: [step(0)],
      calls: [
        {
          ...call,
          modelCallId: "c1",
          tool: "refund",
          input: { n: 1 },
          effect: "once",
          state: "started",
          at,
          outputText: null,
        },
      ],
      permissions: [asked],
      usage: { input_tokens: 5, output_tokens: 7, cost_micros: 9 },
    });
    await write(claim, {
      events: [],
      callUpdates: [{ step: 0, position: 0, state: "completed", output: { ok: true }, outputText: "ok", at }],
    });
    const { organization, run } = claim.key;
    expect(await stepsOf(world.database, organization, [run])).toMatchObject([
      { step: 0, parts: [{ type: "text", text: "Hi" }], finish_reason: "stop", input_tokens: 5 },
    ]);
    expect(await callsOf(world.database, organization, [run])).toMatchObject([
      { id: call.id, input: { n: 1 }, state: "completed", output: { ok: true }, output_text: "ok" },
    ]);
    expect(await permissionsOf(world.database, organization, run)).toMatchObject([
      {
        id: asked.id,
        call_id: call.id,
        state: "pending",
        input: { n: 1 },
        arguments_hash: "ab".repeat(32),
        scope: "customer 7",
        approvers: ["owner", "group:finance"],
        not_requester: true,
        on_expiry: "deny",
        requester_user_id: toUuid(world.caller.userId as UserId),
        is_late: false,
      },
    ]);
    expect(await world.runOf(claim.key.runId)).toMatchObject({ state: "running", input_tokens: 5, cost_micros: 9 });
    expect(await textsOf(claim)).toEqual(["a"]);
  });

  test("a call whose input is null is written as that", async () => {
    const claim = await begin();
    const call = { id: randomUUID(), step: 0, position: 0, modelCallId: "c1", tool: "refund", input: null };
    const asked = world.question(newId("permission"), fromUuid("call", call.id), { input: null });
    const written = await write(claim, {
      events: [],
      steps: [step(0)],
      calls: [{ ...call, effect: "once", state: "waiting", at: null, outputText: null }],
      permissions: [asked],
    });
    expect(written.kind).toBe("committed");
    const { organization, run } = claim.key;
    expect(await callsOf(world.database, organization, [run])).toMatchObject([{ id: call.id, input: null }]);
    expect(await permissionsOf(world.database, organization, run)).toMatchObject([{ id: asked.id, input: null }]);
  });
});

describe("the fence (C1)", () => {
  test("refuses a process whose run was claimed anew, and all it wants to write", async () => {
    const claim = await begin();
    await world.database.run({ name: "test.disown", text: "update runs set lease_owner = null where id = $1" }, [
      claim.key.run,
    ]);
    const [taken] = await world.claimOf(claim.key.threadId);
    expect(taken?.fence).toBe(claim.fence + 1);
    expect(await write(claim, { ...delta(claim, "old"), steps: [step(0)] })).toEqual({ kind: "fenced" });
    expect(await world.complete(claim)).toEqual({ kind: "fenced" });
    expect(await write(taken as Claim, delta(taken as Claim, "new"))).toMatchObject({ kind: "committed" });
    expect(await textsOf(claim)).toEqual(["new"]);
    expect(await stepsOf(world.database, claim.key.organization, [claim.key.run])).toEqual([]);
  });

  test("refuses what comes for a run that was canceled, ended or deleted", async () => {
    const [canceled, ended, deleted] = [await begin(), await begin(), await begin()];
    await world.cancel(canceled.key.threadId, canceled.key.runId);
    await world.complete(ended);
    await world.remove(deleted.key.threadId);
    for (const claim of [canceled, ended, deleted]) {
      expect(await write(claim, delta(claim, "late"))).toEqual({ kind: "fenced" });
    }
    expect(await textsOf(canceled)).toEqual([]);
    expect((await world.logOf(canceled.key.threadId)).at(-1)?.type).toBe("run.canceled");
    expect(await textsOf(ended)).toEqual([]);
  });

  test("refuses one run of a batch without touching the others", async () => {
    const [good, bad] = [await begin(), await begin()];
    await world.cancel(bad.key.threadId, bad.key.runId);
    const results = await Promise.all([
      write(good, delta(good, "a")),
      write(bad, delta(bad, "b")),
      world.complete(good),
    ]);
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "fenced", "committed"]);
    expect(await textsOf(good)).toEqual(["a"]);
  });
});

describe("order (C2)", () => {
  test("changes of a run are in its log as they were given, however they were batched", async () => {
    const claim = await begin();
    const pending: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      pending.push(write(claim, delta(claim, String(i))));
      if (i % 7 === 0) await new Promise(setImmediate);
    }
    await Promise.all(pending);
    expect(await textsOf(claim)).toEqual(Array.from({ length: 60 }, (_, i) => String(i)));
  });

  test("what is given after an end that still waits is in the log before it", async () => {
    const claim = await begin();
    const results = await Promise.all([
      write(claim, delta(claim, "a")),
      world.complete(claim),
      write(claim, delta(claim, "late")),
    ]);
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "committed", "committed"]);
    expect(await textsOf(claim)).toEqual(["a", "late"]);
    expect((await world.logOf(claim.key.threadId)).at(-1)?.type).toBe("run.completed");
  });
});

describe("the end of a turn", () => {
  test("completes the run and frees the thread", async () => {
    const claim = await begin();
    expect(await world.complete(claim)).toEqual({ kind: "committed", steered: 0, queued: false });
    expect(await world.threadOf(claim.key.threadId)).toMatchObject({ state: "idle", active_run_id: null });
    expect(await world.runOf(claim.key.runId)).toMatchObject({
      state: "completed",
      result: { text: "done" },
      lease_owner: null,
      output_tokens: 2,
      running_ms: 1,
      ended_at: expect.any(String),
    });
  });

  test("says when another run of the thread waits, and the thread goes on running", async () => {
    const claim = await begin();
    await world.send(claim.key.threadId, world.message("next"));
    expect(await world.complete(claim)).toMatchObject({ kind: "committed", queued: true });
    expect(await world.threadOf(claim.key.threadId)).toMatchObject({
      state: "running",
      active_run_id: null,
      queued: 1,
    });
  });

  test("that hands over keeps the run first in its thread", async () => {
    const claim = await begin();
    await write(claim, { events: [], end: world.ending("queued") });
    expect(await world.runOf(claim.key.runId)).toMatchObject({ state: "queued", lease_owner: null, ended_at: null });
    expect(await world.threadOf(claim.key.threadId)).toMatchObject({ state: "running", active_run_id: claim.key.run });
    expect((await world.claimOf(claim.key.threadId))[0]?.key.run).toBe(claim.key.run);
    expect((await world.logOf(claim.key.threadId)).at(-1)).toMatchObject({
      type: "run.resumed",
      data: { attempt: 2, reason: "handed_over" },
    });
  });

  test("is refused when a message joined unseen, while what came before it is written (C3)", async () => {
    const claim = await begin();
    await world.send(claim.key.threadId, world.message("one more thing", "steer"));
    const [before, end] = await Promise.all([
      write(claim, { ...delta(claim, "a"), steps: [step(0)] }),
      world.complete(claim),
    ]);
    expect(end).toEqual({ kind: "steered", steered: 1 });
    expect(before).toEqual({ kind: "committed", steered: 1, queued: false });
    expect(await textsOf(claim)).toEqual(["a"]);
    expect(await stepsOf(world.database, claim.key.organization, [claim.key.run])).toHaveLength(1);
    expect(await world.runOf(claim.key.runId)).toMatchObject({ state: "running", result: null });
    expect(await world.complete(claim, { steered: 1 })).toMatchObject({ kind: "committed" });
  });

  test("is refused alone: what was given meanwhile keeps its place", async () => {
    const claim = await begin();
    await world.send(claim.key.threadId, world.message("one more thing", "steer"));
    const first = write(claim, delta(claim, "a"));
    const end = world.complete(claim);
    await new Promise(setImmediate); // the batch is on its way
    const later = write(claim, delta(claim, "b"));
    expect((await Promise.all([first, end, later])).map(({ kind }) => kind)).toEqual([
      "committed",
      "steered",
      "committed",
    ]);
    expect(await textsOf(claim)).toEqual(["a", "b"]);
  });

  test("does not ask for joined messages when the run fails", async () => {
    const claim = await begin();
    await world.send(claim.key.threadId, world.message("one more thing", "steer"));
    expect(await write(claim, { events: [], end: world.ending("failed") })).toMatchObject({ kind: "committed" });
  });
});

describe("a lost answer (C4)", () => {
  test("is looked up: what was committed is not written again", async () => {
    const [a, b] = [await begin(), await begin()];
    faults = ["lose answer"];
    const results = await Promise.all([write(a, delta(a, "a")), world.complete(b)]);
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "committed"]);
    expect(await textsOf(a)).toEqual(["a"]);
    expect((await world.logOf(b.key.threadId)).filter(({ type }) => type === "run.completed")).toHaveLength(1);
    expect(world.errors.length).toBeGreaterThan(0);
  });

  test("is tried again when nothing was committed", async () => {
    const claim = await begin();
    faults = ["lose", "lose"];
    expect(await write(claim, { ...delta(claim, "a"), steps: [step(0)] })).toMatchObject({ kind: "committed" });
    expect(await textsOf(claim)).toEqual(["a"]);
    expect(await stepsOf(world.database, claim.key.organization, [claim.key.run])).toHaveLength(1);
  });

  test("of a write that the database finishes late is not a second write", async () => {
    const [a, b] = [await begin(), await begin()];
    faults = ["late"];
    const results = await Promise.all([write(a, { ...delta(a, "a"), steps: [step(0)] }), world.complete(b)]);
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "committed"]);
    expect(await textsOf(a)).toEqual(["a"]);
    expect((await world.logOf(b.key.threadId)).filter(({ type }) => type === "run.completed")).toHaveLength(1);
  });

  test("keeps apart what was written and what was fenced", async () => {
    const [good, bad] = [await begin(), await begin()];
    await world.cancel(bad.key.threadId, bad.key.runId);
    faults = ["lose answer"];
    const results = await Promise.all([write(good, delta(good, "a")), write(bad, delta(bad, "b"))]);
    expect(results.map(({ kind }) => kind)).toEqual(["committed", "fenced"]);
  });

  test("makes followers read the log", async () => {
    const claim = await begin();
    const seen: string[] = [];
    const reader = {
      deliver: (events: readonly { type: string }[]) => seen.push(...events.map(({ type }) => type)) > 0,
      end: () => {},
    };
    const follower = world.feed.follow(claim.key, 3, reader);
    while (!follower.waiting) await new Promise(setImmediate);
    faults = ["lose answer"];
    await write(claim, delta(claim, "a"));
    while (seen.length === 0) await new Promise(setImmediate);
    expect(seen).toEqual(["agent.message.delta"]);
    follower.close();
  });
});

describe("a change that the database refuses", () => {
  test("is rejected alone, and nothing of it is written", async () => {
    const [good, bad] = [await begin(), await begin()];
    const wrong: Change = { ...delta(bad, "x"), steps: [{ ...step(0), provider: "\u0000" }] };
    const results = await Promise.allSettled([write(good, delta(good, "a")), write(bad, wrong)]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(await textsOf(good)).toEqual(["a"]);
    expect(await textsOf(bad)).toEqual([]);
    expect(await write(bad, delta(bad, "y"))).toMatchObject({ kind: "committed" });
  });
});

test("a process that ends gives up on changes it cannot write", async () => {
  const own = await createRunsWorld({
    lane: (lane) => ({
      close: () => lane.close(),
      rows: async <Row>(one: Statement, values: readonly unknown[]): Promise<Row[]> => {
        if (one.name === "runs.append") throw broken();
        return lane.rows<Row>(one, values);
      },
    }),
  });
  await own.start();
  const claim = own.host.last();
  const written = own.commits.commit(claim.key, claim.fence, { events: [own.delta(claim, "a")] });
  expect(own.commits.depth).toBe(1);
  await new Promise(setImmediate);
  own.commits.stop();
  expect(["fenced", "rejected"]).toContain(
    await written.then(
      ({ kind }) => kind,
      () => "rejected",
    ),
  );
  expect(own.commits.depth).toBe(0);
  expect(fromUuid("run", claim.key.run)).toBe(claim.key.runId);
  await own.end();
});
