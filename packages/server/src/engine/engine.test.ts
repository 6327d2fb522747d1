import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../runs/index.ts";
import { statement } from "../storage/index.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import {
  calls,
  createEngineWorld,
  type EngineWorld,
  hangs,
  type Reply,
  ScriptedModel,
  says,
  testTool,
} from "./fixture.ts";

const workers = statement("engine_test.workers", "select id from workers");
const endLeases = statement("engine_test.end_leases", "delete from workers where id <> $1");
const expireAll = statement("engine_test.expire", "update permissions set expires_at = now() - interval '1 second'");

let world: EngineWorld;
const running: Engine[] = [];
beforeAll(async () => {
  world = await createEngineWorld();
});
afterEach(async () => {
  for (const engine of running.splice(0)) await engine.stop(1000);
});
afterAll(() => world.end());

async function start(replies: Reply[], options: Partial<EngineOptions> = {}, tools = {}, config = {}) {
  const model = new ScriptedModel(...replies);
  const { wakes } = world.runs;
  const engine = new Engine({
    services: world.services(model, config, tools),
    wakes,
    lease: world.runs.database,
    role: "all",
    slots: 10,
    ...options,
  });
  await engine.start();
  running.push(engine);
  return { engine, model };
}
async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await sleep(5);
}
const stateOf = async (claim: Claim["key"]) => (await world.runs.runOf(claim.runId)).state;
/** Opens a thread with a run; `here`: in the process of this engine. */
async function open(engine: Engine, here = true) {
  const { run } = await world.runs.start({
    host: here ? engine : ({ ...engine, hasRoom: () => false, worker: () => null } as never),
  });
  const row = await world.runs.runOf(run?.id as never);
  return { runId: row && run?.id, threadId: run?.thread_id } as Claim["key"];
}

describe("the engine", () => {
  test("works on what was created in its own process, without a claim of its own", async () => {
    const { engine } = await start([says("Done.")]);
    const key = await open(engine);
    await until(async () => (await stateOf(key)) === "completed");
    expect((await world.runs.runOf(key.runId)).fence).toBe(1);
    await until(() => engine.size === 0);
  });

  test("claims what is queued when it is woken", async () => {
    const { engine } = await start([says("Done.")]);
    const key = await open(engine, false);
    await until(async () => (await stateOf(key)) === "completed");
    expect((await world.runs.runOf(key.runId)).fence).toBe(2);
  });

  test("goes on with the thread's next run when one has ended", async () => {
    const { engine, model } = await start([hangs("Well"), says("Second."), says("Third.")]);
    const key = await open(engine);
    await until(() => model.requests.length === 1);
    await world.runs.sendFor(engine, key.threadId, world.runs.message("second"), world.runs.message("third"));
    await world.runs.sendFor(engine, key.threadId, { type: "user.interrupt" });
    await until(async () => (await world.runs.threadOf(key.threadId)).state === "idle");
    expect((await world.runs.runsOf(key.threadId)).map(({ state }) => state)).toEqual([
      "canceled",
      "completed",
      "completed",
    ]);
    expect(engine.size).toBe(0);
  });

  test("has room for as many runs as it has slots, and takes the others later", async () => {
    const { engine, model } = await start([hangs(), says("Done.")], { slots: 1 });
    const first = await open(engine);
    expect(engine.hasRoom()).toBe(false);
    const second = await open(engine);
    expect(await stateOf(second)).toBe("queued");
    await until(() => model.requests.length === 1);
    await world.runs.sendFor(engine, first.threadId, { type: "user.interrupt" });
    await until(async () => (await stateOf(second)) === "completed");
  });

  test("for an API process has a lease and works on nothing", async () => {
    const { engine } = await start([], { role: "api" });
    expect(engine.worker()).toBeNull();
    expect(engine.hasRoom()).toBe(false);
    const key = await open(engine);
    await sleep(20);
    expect(await stateOf(key)).toBe("queued");
    await world.runs.cancel(key.threadId, key.runId);
    expect((await world.runs.database.rows(workers)).length).toBeGreaterThan(1);
  });

  test("drops a run that was canceled", async () => {
    const { engine, model } = await start([hangs("Well")]);
    const key = await open(engine);
    await until(() => model.requests.length === 1);
    await world.runs.cancel(key.threadId, key.runId);
    world.runs.wakes.send("signal", "*");
    await until(() => engine.size === 0);
    expect(await stateOf(key)).toBe("canceled");
  });

  test("gives everything back when it stops, and takes no more", async () => {
    const { engine, model } = await start([hangs("Well"), hangs("Well")]);
    const keys = [await open(engine), await open(engine)];
    await until(() => model.requests.length === 2);
    const worker = engine.worker();
    await engine.stop(5000);
    expect(engine.hasRoom()).toBe(false);
    for (const key of keys) expect(await world.runs.runOf(key.runId)).toMatchObject({ state: "queued", crashes: 0 });
    expect(await world.runs.database.rows(workers)).not.toContainEqual({ id: worker });
    const { engine: next } = await start([says("Done."), says("Done.")]);
    for (const key of keys) await until(async () => (await stateOf(key)) === "completed");
    expect(next.size).toBe(0);
  });

  test("that lost its lease drops its runs, starts anew, and takes them over", async () => {
    const { engine, model } = await start([hangs("Well"), says("Done."), says("Done.")]);
    const key = await open(engine);
    await until(() => model.requests.length === 1);
    const before = engine.worker();
    await world.runs.database.run(endLeases, [world.runs.host.id]);
    await until(async () => (await stateOf(key)) === "completed");
    await until(() => engine.worker() !== before && engine.worker() !== null);
    const log = await world.eventsOf({ key } as Claim);
    expect(log.map(({ type }) => type)).toContain("run.resumed");
  });

  test("ends a run whose question nobody answered in time, and goes on with the next", async () => {
    const pay = testTool(() => "paid", { approval: "always" });
    const { engine } = await start([calls(["pay", {}]), says("Done.")], {}, { pay });
    const key = await open(engine);
    await until(async () => (await stateOf(key)) === "waiting");
    await world.runs.sendFor(engine, key.threadId, world.runs.message("next"));
    await world.runs.database.run(expireAll);
    await until(async () => (await world.runs.threadOf(key.threadId)).state === "idle");
    expect((await world.runs.runsOf(key.threadId)).map(({ state, error }) => [state, error?.code])).toEqual([
      ["failed", "permission_expired"],
      ["completed", undefined],
    ]);
    const log = await world.runs.logOf(key.threadId);
    expect(log.find(({ type }) => type === "permission.decided")).toMatchObject({ data: { decision: "expired" } });
  });
});
