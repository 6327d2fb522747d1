import { randomUUID } from "node:crypto";
import { toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isConnectionError, type Lane, type Statement, statement } from "../storage/index.ts";
import { createRunsWorld, type RunsWorld } from "./fixture.ts";
import { AlreadyAnswered } from "./host.ts";
import { StaleAccess } from "./stale.ts";
import { type Start, startIn } from "./start-batch.ts";

const bumpEpoch = statement("test.bump_epoch", "update organizations set access_epoch = access_epoch + 1 returning 1");
const threadCount = statement("test.thread_count", "select count(*)::int as n from threads");
const answers = statement("test.answers", "select status, response, thread_id from idempotency_keys where key = $1");

/** What the connection does with the next start: `lose answer` commits first, `lose` does not. */
let fault: "none" | "lose answer" | "lose" | "away" = "none";
let statements = 0;
const broken = () => new Error("Connection terminated unexpectedly");

function faulty(lane: Lane): Pick<Lane, "rows" | "close"> {
  return {
    close: () => lane.close(),
    async rows<Row>(one: Statement, values: readonly unknown[]): Promise<Row[]> {
      if (fault === "away") throw broken();
      if (!one.name.startsWith("runs.start") || fault === "none") {
        if (one.name.startsWith("runs.start")) statements++;
        return lane.rows<Row>(one, values);
      }
      const lost = fault;
      fault = "none";
      if (lost === "lose answer") await lane.rows<Row>(one, values);
      throw broken();
    },
  };
}

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld({ lane: faulty });
});
afterAll(() => world.end());
beforeEach(() => {
  fault = "none";
  statements = 0;
});

const threads = async () => (await world.database.row<{ n: number }>(threadCount))?.n ?? 0;
const key = (name: string, hash = "00") => ({ principal: "p", route: "threads.create", key: name, hash });

describe("starts", () => {
  test("that come together are written with one statement, each whole (S1)", async () => {
    const first = world.start({ text: "one" });
    const second = world.start({ text: "two" });
    const third = world.start({ text: null, title: "No run yet" });
    const [one, two, three] = await Promise.all([first, second, third]);
    expect(statements).toBe(1);
    for (const { thread, run } of [one, two]) {
      expect((await world.logOf(thread.id)).map(({ seq, type }) => [seq, type])).toEqual([
        [1, "user.message"],
        [2, "run.queued"],
        [3, "run.started"],
      ]);
      expect(await world.threadOf(thread.id)).toMatchObject({ state: "running", last_seq: 3, active_fence: 1 });
      expect(await world.runOf(run?.id as never)).toMatchObject({
        state: "running",
        attempt: 1,
        fence: 1,
        queued_seq: 2,
      });
    }
    expect(three.run).toBeNull();
    expect(await world.threadOf(three.thread.id)).toMatchObject({ state: "idle", last_seq: 0, active_run_id: null });
  });

  test("are claimed by this process in the same commit when it has room, else queued", async () => {
    const before = world.host.adopted.length;
    const { run } = await world.start();
    expect(world.host.adopted.slice(before).map((claim) => claim.key.runId)).toEqual([run?.id]);
    world.host.room = false;
    let wakes = 0;
    const leave = world.wakes.on("queue", () => wakes++);
    const queued = await world.start();
    leave();
    world.host.room = true;
    expect(queued.run).toMatchObject({ state: "queued", attempt: 0, started_at: null });
    expect(world.host.adopted.length).toBe(before + 1);
    expect(wakes).toBe(1);
    expect((await world.logOf(queued.thread.id)).map(({ type }) => type)).toEqual(["user.message", "run.queued"]);
  });

  test("answer with what is stored", async () => {
    const { thread, run, text } = await world.start({ text: "Hi" });
    expect(JSON.parse(text)).toMatchObject({ thread, run });
    const { toThread } = await import("../threads/index.ts");
    const { toRun } = await import("./run.ts");
    expect(toThread(await world.threadOf(thread.id))).toEqual(thread);
    expect(toRun(await world.runOf(run?.id as never))).toEqual(run);
  });
});

describe("access that changed", () => {
  test("refuses a start whose rights were read before, and writes nothing (S2)", async () => {
    const before = await threads();
    await world.database.run(bumpEpoch);
    const stale = world.start({ idempotency: key("stale") });
    const current = world.start({ caller: { ...world.caller, epoch: 2 } });
    await expect(stale).rejects.toBeInstanceOf(StaleAccess);
    await expect(current).resolves.toMatchObject({ run: { state: "running" } });
    expect(await threads()).toBe(before + 1);
    expect(await world.database.rows(answers, ["stale"])).toEqual([]);
    (world.caller as { epoch: number }).epoch = 2;
  });
});

describe("idempotency keys", () => {
  test("write once, also when both requests come in one turn (S3)", async () => {
    const before = await threads();
    const twice = await Promise.allSettled([
      world.start({ idempotency: key("twice") }),
      world.start({ idempotency: key("twice") }),
      world.start({ idempotency: key("other") }),
    ]);
    expect(twice.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect((twice[1] as PromiseRejectedResult).reason).toBeInstanceOf(AlreadyAnswered);
    expect(await threads()).toBe(before + 2);
    await expect(world.start({ idempotency: key("twice", "11") })).rejects.toBeInstanceOf(AlreadyAnswered);
    const made = (twice[0] as PromiseFulfilledResult<Awaited<ReturnType<RunsWorld["start"]>>>).value;
    expect(await world.database.rows(answers, ["twice"])).toEqual([
      { status: 201, response: made.text, thread_id: toUuid(made.thread.id) },
    ]);
  });

  test("of another principal or route are others", async () => {
    const before = await threads();
    await world.start({ idempotency: { ...key("scoped"), principal: "p1" } });
    await world.start({ idempotency: { ...key("scoped"), principal: "p2" } });
    await world.start({ idempotency: { ...key("scoped"), principal: "p1", route: "runs.create" } });
    expect(await threads()).toBe(before + 3);
  });
});

describe("what goes wrong", () => {
  test("one start that the database refuses does not refuse the others", async () => {
    const before = await threads();
    const results = await Promise.allSettled([
      world.start({ text: "good" }),
      world.start({ title: "bad\u0000" }),
      world.start({ text: "good too" }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await threads()).toBe(before + 2);
  });

  test("a commit whose answer was lost is found, and nothing is written twice", async () => {
    const before = await threads();
    fault = "lose answer";
    const both = await Promise.all([world.start(), world.start({ idempotency: key("lost answer") })]);
    expect(await threads()).toBe(before + 2);
    for (const { thread } of both) expect((await world.logOf(thread.id)).length).toBe(3);
  });

  test("a commit that did not happen refuses its starts, and leaves nothing", async () => {
    const before = await threads();
    fault = "lose";
    await expect(world.start({ idempotency: key("lost") })).rejects.toSatisfy(isUnavailable);
    expect(await threads()).toBe(before);
    await expect(world.start({ idempotency: key("lost") })).resolves.toBeDefined();
  });

  test("a database that stays away refuses, and the next start works", async () => {
    fault = "away";
    await expect(world.start()).rejects.toSatisfy(isUnavailable);
    fault = "none";
    await expect(world.start()).resolves.toBeDefined();
  });
});

/** What `http` answers with 503. */
const isUnavailable = (error: unknown): boolean =>
  isConnectionError(error) || (error as { code?: unknown }).code === "unavailable";

test("a start inside a larger transaction is undone with it (S1)", async () => {
  const before = await threads();
  let start: Start | undefined;
  const { add } = world.batch;
  world.batch.add = (one) => {
    start = one;
    world.batch.add = add;
    return world.batch.add(one);
  };
  await world.start();
  const item = { ...(start as Start).item, th: randomUUID(), ru: randomUUID() };
  const work = world.database.transaction(async (tx) => {
    expect(await startIn(tx, { item, events: [] })).toBe("started");
    throw new Error("the files could not be moved");
  });
  await expect(work).rejects.toThrow("the files could not be moved");
  expect(await threads()).toBe(before + 1);
});
