import { newId, type OrganizationId, toUuid } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createRunsWorld, type RunsWorld } from "../runs/fixture.ts";
import { statement } from "../storage/index.ts";
import type { Amount, BudgetRun, Estimate } from "./budget.ts";
import { BudgetExceeded, BudgetLedger, type Hold, sweepReservations } from "./ledger.ts";
import { insertBudget, permitBeyond } from "./store.ts";

let world: RunsWorld;
let ledgers: BudgetLedger[];
const errors: unknown[] = [];
const newLedger = () =>
  new BudgetLedger({
    database: world.database,
    wakes: { on: () => () => {} },
    now: () => new Date("2026-05-17T12:00:00Z"),
    onError: (error) => errors.push(error),
  });
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(async () => {
  await world.end();
  expect(errors).toEqual([]);
});
const clear = statement("test.clear-budgets", "delete from budgets");
beforeEach(async () => {
  await world.database.run(clear);
  ledgers = [newLedger(), newLedger()]; // two processes
});

const organization = (): OrganizationId => world.caller.organizationId;
const someRun = (more: Partial<BudgetRun> = {}): BudgetRun => ({
  organization: toUuid(organization()),
  run: toUuid(newId("run")),
  thread: toUuid(newId("thread")),
  agent: toUuid(newId("agent")),
  user: toUuid(newId("user")),
  token: toUuid(newId("token")),
  ...more,
});
type Limits = { micros?: number; tokens?: number };
async function budget(kind: "organization" | "each_user", limits: Limits, period: "day" | "month" = "day") {
  const id = toUuid(newId("budget"));
  await insertBudget(world.database, toUuid(organization()), {
    id,
    subject_kind: kind,
    subject_id: null,
    period,
    limit_micros: limits.micros ?? null,
    limit_tokens: limits.tokens ?? null,
    action: "stop",
  });
  return id;
}
const estimate = (atMost: Amount): Estimate => ({
  atMost,
  input: { micros: Math.floor(atMost.micros / 10), tokens: 0 },
});
const hold = (run: BudgetRun, amount: Amount, step = 0, process = 0) =>
  (ledgers[process] as BudgetLedger).hold(organization(), run, step, () => [estimate(amount)]);
const held = async (work: Promise<Hold | undefined>): Promise<Hold | "exceeded" | undefined> =>
  work.catch((error) => {
    if (error instanceof BudgetExceeded) return "exceeded" as const;
    throw error;
  });
const counters = statement(
  "test.counters",
  `select budget_id, used_micros, used_tokens, reserved_micros, reserved_tokens from budget_counters order by budget_id`,
);
type CounterRow = { used_micros: number; used_tokens: number; reserved_micros: number; reserved_tokens: number };
const counted = async () =>
  (await world.database.rows<CounterRow>(counters)).map((row) => [
    row.used_micros,
    row.reserved_micros,
    row.used_tokens,
    row.reserved_tokens,
  ]);

describe("room for a model call", () => {
  test("is not asked for without a budget, and its estimate is not made", async () => {
    const never = () => {
      throw new Error("estimated");
    };
    expect(await ledgers[0]?.hold(organization(), someRun(), 0, never)).toBeUndefined();
    await budget("each_user", { micros: 1 });
    expect(await newLedger().hold(organization(), someRun({ user: null }), 0, never)).toBeUndefined();
  });

  test("is kept until it is settled, and then is what was used", async () => {
    await budget("organization", { micros: 100, tokens: 1000 });
    const kept = await hold(someRun(), { micros: 60, tokens: 100 });
    expect(await counted()).toEqual([[0, 60, 0, 100]]);
    expect(await held(hold(someRun(), { micros: 41, tokens: 1 }))).toBe("exceeded");
    await kept?.settle({ micros: 10, tokens: 20 });
    expect(await counted()).toEqual([[10, 0, 20, 0]]);
    await kept?.settle({ micros: 10, tokens: 20 });
    expect(await counted()).toEqual([[10, 0, 20, 0]]);
    expect(await held(hold(someRun(), { micros: 90, tokens: 980 }))).toBeTypeOf("object");
  });

  test("is given by all budgets or by none", async () => {
    await budget("organization", { micros: 1000 });
    await budget("each_user", { tokens: 10 }, "month");
    expect(await held(hold(someRun(), { micros: 5, tokens: 11 }))).toBe("exceeded");
    expect(await counted()).toEqual([]);
    const run = someRun();
    expect(await held(hold(run, { micros: 5, tokens: 10 }))).toBeTypeOf("object");
    expect(await held(hold(someRun({ user: run.user }), { micros: 5, tokens: 1 }))).toBe("exceeded");
    expect(await held(hold(someRun(), { micros: 5, tokens: 10 }))).toBeTypeOf("object");
  });

  test("is given for a lesser way to make the call, where there is none for the best", async () => {
    await budget("organization", { micros: 100 });
    const ways = () => [estimate({ micros: 70, tokens: 0 }), estimate({ micros: 20, tokens: 0 })] as const;
    const ask = () => held((ledgers[0] as BudgetLedger).hold(organization(), someRun(), 0, ways));
    const [first, second, third] = [await ask(), await ask(), await ask()];
    expect([first, second, third].map((one) => (typeof one === "object" ? one.index : one))).toEqual([
      0,
      1,
      "exceeded",
    ]);
    expect(await counted()).toEqual([[0, 90, 0, 0]]);
  });

  test("is never given twice, by however many processes at once", async () => {
    await budget("organization", { micros: 100 });
    await budget("organization", { tokens: 1_000_000 }, "month");
    const all = await Promise.all(
      Array.from({ length: 60 }, (_, i) => held(hold(someRun(), { micros: 10, tokens: 1 }, 0, i % 2))),
    );
    expect(all.filter((one) => one === "exceeded")).toHaveLength(50);
    await Promise.all(all.map((one) => (typeof one === "object" ? one.settle({ micros: 7, tokens: 1 }) : undefined)));
    expect(await counted()).toEqual([
      [70, 0, 10, 0],
      [70, 0, 10, 0],
    ]);
  });

  test("is had beyond the limit by a run or a thread that somebody allowed it", async () => {
    const id = await budget("organization", { micros: 10 });
    const [run, other] = [someRun(), someRun()];
    await permitBeyond(world.database, run.organization, id, "2026-05-17", run.run);
    await permitBeyond(world.database, run.organization, id, "2026-05-16", other.run);
    expect(await held(hold(run, { micros: 50, tokens: 1 }))).toBeTypeOf("object");
    expect(await held(hold(other, { micros: 1, tokens: 1 }))).toBe("exceeded");
  });
});

describe("what a crash left behind", () => {
  test("counts its input when the step was never written, and what that cost when it was", async () => {
    await budget("organization", { micros: 1000 });
    await world.start();
    const claim = world.host.last();
    const { key } = claim;
    const run = someRun({ run: key.run, thread: key.thread });
    await hold(run, { micros: 300, tokens: 30 }, 0);
    await hold(run, { micros: 200, tokens: 20 }, 1);
    const at = world.now().toISOString();
    const usage = { input_tokens: 5, output_tokens: 7, cost_micros: 9 };
    const step = {
      step: 0,
      message: toUuid(newId("message")),
      provider: "test",
      model: "m",
      joined: [],
      steered: 0,
      parts: [],
      finish: "stop",
      usage,
      price: null,
      at,
    };
    await world.commits.commit(key, claim.fence, { events: [], steps: [step] });
    await ledgers[1]?.recover(organization(), run);
    expect(await counted()).toEqual([[9 + 20, 0, 12, 0]]);
  });

  test("is not what the process that took the run over holds: who was only paused settles nothing of that", async () => {
    await budget("organization", { micros: 100 });
    const run = someRun();
    const paused = await hold(run, { micros: 50, tokens: 0 });
    await ledgers[1]?.recover(organization(), run);
    const taken = await hold(run, { micros: 60, tokens: 0 }, 0, 1);
    await paused?.settle({ micros: 40, tokens: 0 });
    expect(await counted()).toEqual([[5, 60, 0, 0]]);
    await taken?.settle({ micros: 20, tokens: 0 });
    expect(await counted()).toEqual([[25, 0, 0, 0]]);
  });

  test("by runs that have ended is swept, and what runs under way hold is left alone", async () => {
    await budget("organization", { micros: 1000 });
    await world.start();
    const { key } = world.host.last();
    await hold(someRun({ run: key.run }), { micros: 300, tokens: 1 });
    await hold(someRun(), { micros: 100, tokens: 1 });
    const age = statement("test.age", "update budget_reservations set created_at = created_at - interval '2 minutes'");
    await world.database.run(age);
    expect(await sweepReservations(world.database)).toBe(1);
    expect(await counted()).toEqual([[10, 300, 0, 1]]);
  });
});

test("whatever is held, settled and lost, a counter says what a model of it says", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.record({ ask: fc.nat(30), use: fc.nat(40), settle: fc.boolean() }), { maxLength: 25 }),
      async (limit, moves) => {
        await world.database.run(clear);
        ledgers = [newLedger(), newLedger()];
        await budget("organization", { micros: limit });
        let [used, reserved] = [0, 0];
        for (const [i, { ask, use, settle }] of moves.entries()) {
          const got = await held(hold(someRun(), { micros: ask, tokens: 0 }, i, i % 2));
          expect(got === "exceeded").toBe(used + reserved + ask > limit);
          if (typeof got !== "object") continue;
          if (settle) {
            await got.settle({ micros: use, tokens: 0 });
            used += use;
          } else reserved += ask;
        }
        expect((await counted())[0] ?? [0, 0, 0, 0]).toEqual([used, reserved, 0, 0]);
      },
    ),
    { numRuns: 25 },
  );
});

test("however calls of many children interleave, a limit is exceeded by no more than calls used beyond their estimates", async () => {
  const call = fc.record({ ask: fc.integer({ min: 1, max: 20 }), beyond: fc.oneof(fc.constant(0), fc.nat(8)) });
  const children = fc.array(fc.array(call, { minLength: 1, maxLength: 4 }), { minLength: 2, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 10, max: 80 }), children, async (limit, family) => {
      await world.database.run(clear);
      ledgers = [newLedger(), newLedger()];
      await budget("organization", { micros: limit });
      let [error, admitted, isOver] = [0, 0, false];
      const child = async (calls: (typeof family)[number], process: number): Promise<void> => {
        const run = someRun();
        for (const [step, { ask, beyond }] of calls.entries()) {
          const got = await held(hold(run, { micros: ask, tokens: 0 }, step, process));
          if (typeof got !== "object") return; // this child has failed
          error += beyond;
          await got.settle({ micros: ask + beyond, tokens: 0 });
          admitted += ask + beyond;
        }
      };
      const watch = async (): Promise<void> => {
        while (!isOver) {
          const [used = 0, reserved = 0] = (await counted())[0] ?? [];
          expect(used + reserved).toBeLessThanOrEqual(limit + error);
        }
      };
      const watching = watch();
      await Promise.all(family.map((calls, i) => child(calls, i % 2)));
      isOver = true;
      await watching;
      expect((await counted())[0] ?? [0, 0, 0, 0]).toEqual([admitted, 0, 0, 0]);
      expect(admitted).toBeLessThanOrEqual(limit + error);
    }),
    { numRuns: 20 },
  );
});
