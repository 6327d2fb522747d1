/**
 * A decision against whatever else may happen at that moment: each race has one winner, the log tells of it once,
 * and the tool runs exactly when it was allowed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentConfigInput, type Event, newId, type PermissionId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Caller } from "../access/index.ts";
import { TestHost } from "../runs/fixture.ts";
import { type Claim, expire, findPermission } from "../runs/index.ts";
import { statement } from "../storage/index.ts";
import { calls, createEngineWorld, type EngineWorld, ScriptedModel, says, testTool } from "./fixture.ts";

const RACES = 1000;
const AT_ONCE = 25;

let world: EngineWorld;
let colleague: Caller;
beforeAll(async () => {
  world = await createEngineWorld();
  colleague = { ...world.runs.caller, userId: newId("user"), groups: [{ id: newId("group"), slug: "finance" }] };
});
afterAll(() => world.end());

const expireIn = statement(
  "races.expire_in",
  "update permissions set expires_at = clock_timestamp() + $2 * interval '1 millisecond' where id = $1",
);

type Waiting = { claim: Claim; id: PermissionId };
type Racer = (waiting: Waiting, race: number) => Promise<unknown>;

const decideAs =
  (who: () => Caller, decision: "allow_once" | "deny"): Racer =>
  ({ claim, id }) =>
    world.runs.sendAs(who(), world.runs.host, claim.key.threadId, {
      type: "permission.decision",
      permission_id: id,
      decision,
    });
const approve = decideAs(() => world.runs.caller, "allow_once");

/** Runs races of two; the run of each then goes on to its end. @returns how often each racer won */
async function race(
  racers: readonly [Racer, Racer],
  check: (log: readonly Event[], winners: readonly boolean[]) => void,
  approvals: AgentConfigInput["approvals"] = {},
): Promise<number[]> {
  const paid = new Map<string, number>();
  const pay = testTool((_, { callId }) => paid.set(callId, (paid.get(callId) ?? 0) + 1).size, {
    effect: "once",
    approval: "always",
  });
  const model = new ScriptedModel(calls(["pay", { n: 1 }]), says("Done."));
  model.byConversation = true;
  const services = world.services(model, { approvals }, { pay });
  const wins = [0, 0];

  async function one(number: number): Promise<void> {
    const host = new TestHost();
    await world.runs.start({ host });
    const claim = host.last();
    await world.work(claim, services);
    const before = await world.runs.logOf(claim.key.threadId);
    const asked = before.find((event) => event.type === "permission.requested");
    if (asked?.type !== "permission.requested") throw new Error("nobody was asked");
    const waiting = { claim, id: asked.data.permission_id as PermissionId };
    // Who begins changes, so that each wins now and then.
    const order = number % 2 === 0 ? [0, 1] : [1, 0];
    const outcomes: boolean[] = [];
    await Promise.all(
      order.map(async (index) => {
        outcomes[index] = await (racers[index] as Racer)(waiting, number).then(
          (done) => done !== false,
          (error: { code?: string }) => {
            if (error.code === undefined) throw error;
            return false;
          },
        );
      }),
    );
    const [again] = await world.runs.claimOf(claim.key.threadId);
    if (again !== undefined) await world.work(again, services);
    for (const [index, won] of outcomes.entries()) if (won) wins[index] = (wins[index] ?? 0) + 1;

    const log = await world.eventsOf(claim);
    const decided = log.filter((event) => event.type === "permission.decided");
    expect(decided).toHaveLength(1);
    const [decision] = decided;
    const allowed = decision?.type === "permission.decided" && decision.data.decision === "allow_once";
    const started = log.filter(({ type }) => type === "tool.call.started").length;
    const canceled = log.some(({ type }) => type === "run.canceled");
    const made = paid.get(asked.data.call_id) ?? 0;
    // Allowed and not stopped before its turn: made once. Otherwise never.
    expect(made).toBe(allowed && !canceled ? 1 : 0);
    expect(started).toBe(made);
    check(log, outcomes);
  }

  for (let done = 0; done < RACES; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => one(done + i)));
    world.runs.host.adopted.length = 0;
    model.requests.length = 0;
  }
  expect(wins.every((number) => number > 0)).toBe(true);
  return wins;
}

const timeout = 600_000;

test("1,000 races of two approvers: one decides, the other is told", { timeout }, async () => {
  const wins = await race(
    [approve, decideAs(() => colleague, "deny")],
    (log, [allowed, denied]) => {
      expect([allowed, denied].filter(Boolean)).toHaveLength(1);
      const decided = log.find((event) => event.type === "permission.decided");
      expect(decided?.data).toMatchObject({ decision: allowed ? "allow_once" : "deny" });
      expect(log.at(-1)?.type).toBe("run.completed");
    },
    { approvers: ["caller", "group:finance"] },
  );
  expect(wins.reduce((a, b) => a + b)).toBe(RACES);
});

test("1,000 races of an approval against an interrupt", { timeout }, async () => {
  await race(
    [approve, ({ claim }) => world.runs.send(claim.key.threadId, { type: "user.interrupt" })],
    (log, [, interrupted]) => {
      // An interrupt also ends a run that has just been allowed to go on.
      expect(log.at(-1)?.type).toBe(interrupted ? "run.canceled" : "run.completed");
    },
  );
});

test("1,000 races of an approval against a cancel", { timeout }, async () => {
  await race([approve, ({ claim }) => world.runs.cancel(claim.key.threadId, claim.key.runId)], (log, [, canceled]) =>
    expect(log.at(-1)?.type).toBe(canceled ? "run.canceled" : "run.completed"),
  );
});

test("1,000 races of an approval against the request's end", { timeout }, async () => {
  // However slow the machine is, each wins some: a few requests end long after the answer, and a few before it.
  const endsAfterMs = (number: number) => (number % 50 === 0 ? 600_000 : number % 50 === 1 ? -1 : 5 + (number % 20));
  const lapses: Racer = async ({ id }, number) => {
    await world.runs.database.run(expireIn, [toUuid(id), endsAfterMs(number)]);
    for (;;) {
      const row = await findPermission(world.runs.database, toUuid(world.runs.organizationId), toUuid(id));
      if (row?.state !== "pending") return row?.state === "expired";
      if (row.is_late) await expire(world.runs.database, world.runs.deps, row);
      else await sleep(2);
    }
  };
  const late: Racer = async (waiting, number) => {
    await sleep(number % 50 === 1 ? 300 : (number * 7) % 30);
    return approve(waiting, number);
  };
  const wins = await race([late, lapses], (log, [allowed, expired]) => {
    expect([allowed, expired].filter(Boolean)).toHaveLength(1);
    expect(log.at(-1)?.type).toBe(allowed ? "run.completed" : "run.failed");
  });
  expect(wins.reduce((a, b) => a + b)).toBe(RACES);
});
