import { afterAll, beforeAll, expect, test } from "vitest";
import { statement } from "../storage/index.ts";
import { createRunsWorld, type RunsWorld } from "./fixture.ts";
import { sweepDeltas } from "./retention.ts";

const age = statement("retention_test.age", "update runs set ended_at = now() - interval '25 hours' where id = $1");

let world: RunsWorld;
beforeAll(async () => {
  world = await createRunsWorld();
});
afterAll(() => world.end());

async function spoken() {
  const { thread } = await world.start();
  const claim = world.host.last();
  await world.commits.commit(claim.key, claim.fence, {
    events: [
      world.delta(claim, "Hel"),
      world.delta(claim, "lo"),
      world.event(claim, "agent.message", {
        message_id: `msg_${claim.key.runId.slice(4)}` as never,
        text: "Hello",
        finish_reason: "stop",
      }),
    ],
  });
  return { thread: thread.id, claim };
}

test("a day after a run has ended its deltas are removed, and nothing else", async () => {
  const [old, recent, open] = [await spoken(), await spoken(), await spoken()];
  for (const one of [old, recent]) await world.complete(one.claim);
  await world.database.run(age, [old.claim.key.run]);
  const before = await world.logOf(old.thread);
  expect(await sweepDeltas(world.database)).toBe(1);
  expect(await world.logOf(old.thread)).toEqual(before.filter(({ type }) => type !== "agent.message.delta"));
  for (const one of [recent, open]) {
    expect((await world.logOf(one.thread)).filter(({ type }) => type === "agent.message.delta")).toHaveLength(2);
  }
  expect(await sweepDeltas(world.database)).toBe(0);
});
