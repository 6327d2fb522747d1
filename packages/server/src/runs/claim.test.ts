import { randomUUID } from "node:crypto";
import { newId, type ThreadId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { statement } from "../storage/index.ts";
import { type Claim, isSuspect } from "./claim.ts";
import { createRunsWorld, type RunsWorld } from "./fixture.ts";
import { heartbeat, lostRuns, otherWorkers, reapWorkers, registerWorker, removeWorker } from "./workers.ts";

const expire = statement(
  "test.expire",
  "update workers set lease_expires_at = now() - interval '1 second' where id = $1",
);
const leaseOf = statement("test.lease", "select lease_expires_at > now() as held from workers where id = $1");

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(() => world.end());

async function worker(): Promise<string> {
  const id = randomUUID();
  await registerWorker(world.database, id, "worker");
  return id;
}
/** A thread with `runs` queued runs, none of them claimed. */
async function queued(runs = 1): Promise<ThreadId> {
  world.host.room = false;
  const { thread } = await world.start();
  for (let i = 1; i < runs; i++) await world.send(thread.id, world.message(`message ${i}`));
  world.host.room = true;
  return thread.id;
}
/** A worker dies: its lease runs out and somebody notices. */
async function die(id: string): Promise<void> {
  await world.database.run(expire, [id]);
  expect(await reapWorkers(world.database, world.host.id)).toEqual([id]);
}

describe("claiming", () => {
  test("a queued run becomes the worker's, under a new fence, and says so in its log", async () => {
    const thread = await queued();
    const id = await worker();
    const [claim, ...others] = await world.claimOf(thread, id);
    expect(others).toEqual([]);
    expect(claim).toMatchObject({ fence: 2, row: { state: "running", lease_owner: id, attempt: 1, crashes: 0 } });
    expect(claim?.fresh).toBeUndefined();
    expect(await world.runOf(claim?.key.runId as never)).toEqual(claim?.row);
    expect(await world.threadOf(thread)).toMatchObject({
      state: "running",
      active_run_id: claim?.key.run,
      active_fence: 2,
      queued: 0,
    });
    expect((await world.logOf(thread)).map(({ type }) => type)).toEqual(["user.message", "run.queued", "run.started"]);
    expect(await world.claimOf(thread, await worker())).toEqual([]);
  });

  test("by many workers at once gives each run to one of them", async () => {
    const threads = await Promise.all(Array.from({ length: 12 }, () => queued()));
    const workers = await Promise.all([worker(), worker(), worker()]);
    const taken: Claim[] = [];
    // Rows that another worker holds are skipped, so it may take a second look to get all.
    while (taken.length < threads.length) {
      const rounds = await Promise.all(workers.map((id) => world.claim(5, id)));
      taken.push(...rounds.flat());
    }
    expect(taken.map((claim) => claim.key.threadId).sort()).toEqual([...threads].sort());
    for (const claim of taken) {
      const log = await world.logOf(claim.key.threadId);
      expect(log.filter(({ type }) => type === "run.started")).toHaveLength(1);
    }
  });

  test("takes at most as many as there is room for, the oldest first", async () => {
    const threads = [await queued(), await queued(), await queued()];
    expect((await world.claim(2)).map((claim) => claim.key.threadId)).toEqual(threads.slice(0, 2));
    expect((await world.claim(2)).map((claim) => claim.key.threadId)).toEqual(threads.slice(2));
  });

  test("goes through the runs of a thread in their order, one at a time", async () => {
    const thread = await queued(3);
    const order = (await world.runsOf(thread)).map((run) => run.id);
    for (const run of order) {
      const [claim, ...others] = await world.claim();
      expect(claim?.key.run).toBe(run);
      expect(others).toEqual([]);
      await world.complete(claim as Claim);
    }
    expect(await world.threadOf(thread)).toMatchObject({ state: "idle", queued: 0 });
  });

  test("a later run starts with no joined messages, whatever joined the one before", async () => {
    const { thread } = await world.start();
    const first = world.host.last();
    await world.send(thread.id, world.message("and this", "steer"), world.message("and that", "steer"));
    await world.send(thread.id, world.message("next"));
    await world.complete(first, { steered: 2 });
    const [second] = await world.claimOf(thread.id);
    expect(await world.threadOf(thread.id)).toMatchObject({ steered: 0 });
    expect(await world.complete(second as Claim, { steered: 0 })).toMatchObject({ kind: "committed", steered: 0 });
  });

  test("a thread that somebody holds is left for later", async () => {
    const thread = await queued();
    await world.database.transaction(async (tx) => {
      const key = [toUuid(world.organizationId), toUuid(thread)];
      await tx.rows(
        { name: "test.hold", text: "select from threads where organization_id = $1 and id = $2 for update" },
        key,
      );
      expect(await world.claimOf(thread)).toEqual([]);
    });
    expect(await world.claimOf(thread)).toHaveLength(1);
  });
});

describe("a worker that died", () => {
  test("leaves its runs to others, who go on under a higher fence", async () => {
    const thread = await queued();
    const dead = await worker();
    const [before] = await world.claimOf(thread, dead);
    expect(await world.claimOf(thread)).toEqual([]); // the lease holds
    await die(dead);
    const [after] = await world.claimOf(thread);
    expect(after).toMatchObject({
      fence: (before as Claim).fence + 1,
      row: { attempt: 2, crashes: 1, lease_owner: world.host.id },
    });
    expect(after?.row.started_at).toBe(before?.row.started_at);
    expect((await world.logOf(thread)).at(-1)).toMatchObject({
      type: "run.resumed",
      data: { attempt: 2, reason: "taken_over" },
    });
    await world.complete(after as Claim);
  });

  test("is said to have begun a message that does not count any more", async () => {
    const thread = await queued();
    const dead = await worker();
    const [before] = await world.claimOf(thread, dead);
    const claim = before as Claim;
    await world.commits.commit(claim.key, claim.fence, { events: [world.delta(claim, "Half an ans")] });
    await die(dead);
    const [after] = await world.claimOf(thread);
    expect((await world.logOf(thread)).at(-1)).toMatchObject({
      type: "run.resumed",
      data: { superseded_message_ids: [`msg_${claim.key.runId.slice(4)}`] },
    });
    await world.complete(after as Claim);
  });

  test("a run that takes its third worker along is failed, and the thread goes on", async () => {
    const thread = await queued(2);
    for (let death = 0; death < 3; death++) {
      const id = await worker();
      const [claim] = await world.claimOf(thread, id);
      expect(claim?.row.crashes).toBe(death);
      expect(isSuspect(claim?.row as never)).toBe(death === 2);
      await die(id);
    }
    expect(await world.claimOf(thread)).toEqual([]); // it is ended instead
    const [run] = await world.runsOf(thread);
    expect(run).toMatchObject({ state: "failed", error: { code: "crash_loop", retryable: false }, lease_owner: null });
    expect((await world.logOf(thread)).at(-1)).toMatchObject({
      type: "run.failed",
      data: { error: { code: "crash_loop" } },
    });
    const [next] = await world.claimOf(thread);
    expect(next?.row.crashes).toBe(0);
    await world.complete(next as Claim);
  });

  test("a process works on one suspect at a time", async () => {
    const threads = [await queued(), await queued(), await queued()];
    for (let death = 0; death < 2; death++) {
      const id = await worker();
      for (const thread of threads) await world.claimOf(thread, id);
      await die(id);
    }
    const first = await world.claim();
    expect(first).toHaveLength(1);
    expect(await world.claim(20, world.host.id, false)).toEqual([]);
    await world.complete(first[0] as Claim);
    for (let left = 2; left > 0; left--) {
      const [claim, ...others] = await world.claim();
      expect(others).toEqual([]);
      await world.complete(claim as Claim);
    }
  });
});

describe("leases", () => {
  test("a heartbeat renews one, unless somebody ended it", async () => {
    const id = await worker();
    await world.database.run(expire, [id]);
    expect(await heartbeat(world.database, id)).toBe(true);
    expect(await world.database.row(leaseOf, [id])).toEqual({ held: true });
    expect(await reapWorkers(world.database, world.host.id)).toEqual([]);
    await die(id);
    expect(await heartbeat(world.database, id)).toBe(false);
  });

  test("nobody ends their own, however late they are", async () => {
    const id = await worker();
    await world.database.run(expire, [id]);
    expect(await reapWorkers(world.database, id)).toEqual([]);
    await removeWorker(world.database, id);
  });

  test("others are counted as long as their row is there", async () => {
    const before = await otherWorkers(world.database, world.host.id);
    const id = await worker();
    expect(await otherWorkers(world.database, world.host.id)).toBe(before + 1);
    await removeWorker(world.database, id);
    expect(await otherWorkers(world.database, world.host.id)).toBe(before);
  });

  test("tell which claimed runs are lost: canceled, ended, deleted, taken over", async () => {
    const claims: Claim[] = [];
    for (let i = 0; i < 5; i++) {
      await world.start();
      claims.push(world.host.last());
    }
    const [kept, canceled, ended, deleted, taken] = claims as [Claim, Claim, Claim, Claim, Claim];
    await world.cancel(canceled.key.threadId, canceled.key.runId);
    await world.complete(ended);
    await world.remove(deleted.key.threadId);
    const stale = { ...taken, fence: taken.fence - 1 };
    expect(await lostRuns(world.database, [kept, canceled, ended, deleted, stale])).toEqual([1, 2, 3, 4]);
    expect(await lostRuns(world.database, [])).toEqual([]);
    for (const claim of [kept, taken]) await world.complete(claim);
  });
});

test("a thread that is not there has nothing to claim", async () => {
  expect(await world.claimOf(newId("thread"))).toEqual([]);
});
