/**
 * Random things happen to a thread; a small model says what must come of them.
 *
 * The model knows the runs of one thread in their order, which of them is active, who holds it, and what it
 * asks. After each step it is compared with the database, and the log with what always holds.
 */
import { randomUUID } from "node:crypto";
import {
  CallboardError,
  type Event,
  isTerminal,
  newId,
  type OnActiveRun,
  type PermissionId,
  type RunState,
  type ThreadId,
  type ThreadState,
  terminalEventTypes,
  toUuid,
} from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { statement } from "../storage/index.ts";
import type { Claim } from "./claim.ts";
import { createRunsWorld, type RunsWorld, TestHost } from "./fixture.ts";
import { reapWorkers, registerWorker } from "./workers.ts";

const expire = statement(
  "model_test.expire",
  "update workers set lease_expires_at = now() - interval '1 second' where id = $1",
);

type Step =
  | { do: "send"; mode: OnActiveRun; room: boolean; double: boolean }
  | { do: "interrupt" }
  | { do: "cancel"; which: number }
  | { do: "decide"; allow: boolean }
  | { do: "claim" }
  | { do: "write"; stale: boolean }
  | { do: "ask" }
  | { do: "finish"; how: "completed" | "failed" | "queued"; sees: boolean; stale: boolean }
  | { do: "crash" }
  | { do: "archive"; archived: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      mode: fc.constantFrom<OnActiveRun>("enqueue", "reject", "interrupt", "steer"),
      room: fc.boolean(),
      double: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "interrupt" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("decide" as const), allow: fc.boolean() }) },
  { weight: 5, arbitrary: fc.constant({ do: "claim" as const }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("write" as const), stale: fc.boolean() }) },
  { weight: 3, arbitrary: fc.constant({ do: "ask" as const }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("finish" as const),
      how: fc.constantFrom("completed" as const, "failed" as const, "queued" as const),
      sees: fc.boolean(),
      stale: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "crash" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("archive" as const), archived: fc.boolean() }) },
);

type ModelRun = {
  id: string;
  state: RunState;
  /** The claim its engine holds; undefined while nobody works on it. */
  claim: Claim | undefined;
  /** Its engine's process is gone. */
  orphan: boolean;
  crashes: number;
  steered: number;
  question: PermissionId | undefined;
};

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(() => world.end());

class Model {
  readonly thread: ThreadId;
  host = new TestHost();
  readonly runs: ModelRun[] = [];
  /** The run the thread names as active; the first one of an idle thread is it before anybody claims it. */
  active: ModelRun | undefined;
  archived = false;
  /** Claims that are no longer good. */
  readonly stale: Claim[] = [];

  constructor(thread: ThreadId) {
    this.thread = thread;
  }

  get waiting(): ModelRun[] {
    return this.runs.filter((run) => run.state === "queued" && run !== this.active);
  }

  get state(): ThreadState {
    if (this.active?.state === "waiting") return "waiting";
    return this.active !== undefined || this.waiting.length > 0 ? "running" : "idle";
  }

  end(run: ModelRun, state: RunState): void {
    run.state = state;
    run.question = undefined;
    this.lose(run);
    if (this.active === run) this.active = undefined;
  }

  lose(run: ModelRun): void {
    if (run.claim !== undefined) this.stale.push(run.claim);
    run.claim = undefined;
  }

  /** Adds a run as a message does, and takes the claim when this process had room. */
  add(id: string, room: boolean): void {
    const free = this.active === undefined && this.waiting.length === 0;
    const run: ModelRun = {
      id,
      state: "queued",
      claim: undefined,
      orphan: false,
      crashes: 0,
      steered: 0,
      question: undefined,
    };
    this.runs.push(run);
    if (!free) return;
    this.active = run;
    if (!room) return;
    run.state = "running";
    run.claim = this.host.last();
    expect(run.claim.key.runId).toBe(id);
  }
}

/** The refusal's code, or undefined when the work was done. */
async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof CallboardError) return error.code;
    throw error;
  }
}

async function apply(model: Model, one: Step): Promise<void> {
  const { thread, host, active } = model;
  switch (one.do) {
    case "send": {
      host.room = one.room;
      const mode = one.double ? "enqueue" : one.mode;
      const events = [world.message("m", one.mode), ...(one.double ? [world.message("again", mode)] : [])];
      const busy = active !== undefined || model.waiting.length > 0;
      let answer: Awaited<ReturnType<RunsWorld["send"]>> | undefined;
      const code = await codeOf(
        world.sendFor(host, thread, ...events).then((sent) => {
          answer = sent;
        }),
      );
      if (model.archived) expect(code).toBe("thread_archived");
      else if (busy && one.mode === "reject") expect(code).toBe("run_active");
      else {
        expect(code).toBeUndefined();
        const ids = answer?.events.map(({ run }) => run?.id as string) ?? [];
        if (one.mode === "steer" && active !== undefined) {
          expect(ids[0]).toBe(active.id);
          active.steered++;
        } else {
          if (one.mode === "interrupt" && active !== undefined) model.end(active, "canceled");
          model.add(ids[0] as string, one.room);
        }
        if (one.double) model.add(ids[1] as string, one.room);
      }
      return;
    }
    case "interrupt": {
      const code = await codeOf(world.sendFor(host, thread, { type: "user.interrupt" }));
      expect(code).toBe(active === undefined ? "no_active_run" : undefined);
      if (active !== undefined) model.end(active, "canceled");
      return;
    }
    case "cancel": {
      const run = model.runs[one.which % Math.max(1, model.runs.length)];
      if (run === undefined) return;
      const code = await codeOf(world.cancel(thread, run.id as never));
      expect(code).toBe(isTerminal(run.state) ? "run_not_active" : undefined);
      if (code === undefined) model.end(run, "canceled");
      return;
    }
    case "decide": {
      const run = model.runs.find(({ question }) => question !== undefined);
      if (run?.question === undefined) return;
      const decision = one.allow ? "allow_once" : "deny";
      await world.sendFor(host, thread, { type: "permission.decision", permission_id: run.question, decision });
      run.question = undefined;
      run.state = "queued";
      return;
    }
    case "claim": {
      const claims = await world.claimOf(thread, host.id);
      const next = active ?? model.waiting[0];
      const open = next !== undefined && (next.state === "queued" || (next.state === "running" && next.orphan));
      if (next === undefined || !open) {
        expect(claims).toEqual([]);
        return;
      }
      const crashes = next.crashes + (next.state === "running" ? 1 : 0);
      if (crashes >= 3) {
        expect(claims).toEqual([]);
        model.end(next, "failed");
        return;
      }
      expect(claims.map(({ key }) => key.runId)).toEqual([next.id]);
      model.lose(next);
      Object.assign(next, { state: "running", orphan: false, crashes, claim: claims[0] });
      model.active = next;
      return;
    }
    case "write": {
      const claim = one.stale ? model.stale.at(-1) : active?.claim;
      if (claim === undefined) return;
      const written = await world.commits.commit(claim.key, claim.fence, { events: [world.delta(claim, "x")] });
      expect(written).toEqual(
        one.stale
          ? { kind: "fenced" }
          : { kind: "committed", steered: active?.steered, queued: model.waiting.length > 0 },
      );
      return;
    }
    case "ask": {
      if (active?.claim === undefined) return;
      await ask(active, active.claim);
      model.lose(active);
      return;
    }
    case "finish": {
      const claim = one.stale ? model.stale.at(-1) : active?.claim;
      if (claim === undefined) return;
      const seen = one.sees ? (active?.steered ?? 0) : 0;
      const end = world.ending(one.how, one.how === "completed" ? { steered: seen } : {});
      const events = [world.delta(claim, "y"), ...terminalEvents(claim, one.how)];
      const written = await world.commits.commit(claim.key, claim.fence, { events, end });
      if (one.stale) {
        expect(written).toEqual({ kind: "fenced" });
        return;
      }
      if (active === undefined) return;
      if (one.how === "completed" && seen !== active.steered) {
        expect(written).toEqual({ kind: "steered", steered: active.steered });
        return;
      }
      expect(written.kind).toBe("committed");
      if (one.how !== "queued") model.end(active, one.how);
      else {
        active.state = "queued";
        model.lose(active);
      }
      return;
    }
    case "crash": {
      await world.database.run(expire, [host.id]);
      await reapWorkers(world.database, randomUUID());
      for (const run of model.runs) run.orphan ||= run.state === "running";
      model.host = new TestHost();
      await registerWorker(world.database, model.host.id, "all");
      return;
    }
    case "archive": {
      const code = await codeOf(world.archive(thread, one.archived));
      const refused = one.archived && !model.archived && model.state !== "idle";
      expect(code).toBe(refused ? "run_active" : undefined);
      if (!refused) model.archived = one.archived;
      return;
    }
  }
}

async function ask(run: ModelRun, claim: Claim): Promise<void> {
  const permission = newId("permission");
  const waitingFor = [{ kind: "permission" as const, id: permission }];
  const written = await world.commits.commit(claim.key, claim.fence, {
    events: [world.event(claim, "run.waiting", { waiting_for: waitingFor })],
    permissions: [world.question(permission, newId("call"))],
    end: world.ending("waiting", { waitingFor }),
  });
  expect(written.kind).toBe("committed");
  run.state = "waiting";
  run.question = permission;
}

function terminalEvents(claim: Claim, how: "completed" | "failed" | "queued") {
  const usage = { input_tokens: 1, output_tokens: 2, cost_micros: 3 };
  if (how === "completed") return [world.event(claim, "run.completed", { result: { text: "done" }, usage })];
  const error = { code: "internal", message: "broken", retryable: true };
  return how === "failed" ? [world.event(claim, "run.failed", { error, usage })] : [];
}

const isTerminalType = (type: string): boolean => (terminalEventTypes as readonly string[]).includes(type);

async function check(model: Model): Promise<void> {
  const [row, runs, log] = await Promise.all([
    world.threadOf(model.thread),
    world.runsOf(model.thread),
    world.logOf(model.thread),
  ]);
  expect(runs.map(({ id, state, crashes }) => [id, state, crashes])).toEqual(
    model.runs.map(({ id, state, crashes }) => [toUuid(id as never), state, crashes]),
  );
  expect(row).toMatchObject({
    state: model.state,
    archived: model.archived,
    active_run_id: model.active === undefined ? null : toUuid(model.active.id as never),
    queued: model.waiting.length,
    last_run_id: runs.at(-1)?.id ?? null,
    last_seq: log.length,
  });
  if (model.active !== undefined) expect(row.steered).toBe(model.active.steered);
  // One run at a time works or waits, and it is the active one.
  const busy = runs.filter(({ state }) => state === "running" || state === "waiting").map(({ id }) => id);
  expect(busy.length).toBeLessThanOrEqual(1);
  for (const id of busy) expect(id).toBe(row.active_run_id);
  for (const run of runs) {
    expect(run.lease_owner === null).toBe(run.state !== "running");
    expect(run.ended_at === null).toBe(!isTerminal(run.state));
    expect(run.result === null).toBe(run.state !== "completed");
    expect(run.error === null).toBe(run.state !== "failed" && run.state !== "canceled");
    checkEvents(
      run.state,
      log.filter((event) => event.run_id !== null && toUuid(event.run_id as never) === run.id),
    );
  }
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1));
}

/** What the log says of one run: it is queued first, ends once, and nothing of it follows its end. */
function checkEvents(state: RunState, events: readonly Event[]): void {
  expect(events.slice(0, 2).map(({ type }) => type)).toEqual(["user.message", "run.queued"]);
  const ends = events.filter(({ type }) => isTerminalType(type));
  expect(ends.map(({ type }) => type)).toEqual(isTerminal(state) ? [`run.${state}`] : []);
  if (ends.length > 0) expect(isTerminalType(events.at(-1)?.type ?? "")).toBe(true);
}

test("whatever happens to a thread, its row, its runs and its log agree", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 24 }), async (steps) => {
      const { thread } = await world.start({ text: null });
      const model = new Model(thread.id);
      await registerWorker(world.database, model.host.id, "all");
      for (const one of steps) {
        await apply(model, one);
        await check(model);
      }
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? 40) },
  );
});
