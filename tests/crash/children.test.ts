/** Agents that call agents: `kill -9` repeats no call, and a cancel reaches the whole tree on any process. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Run, RunTree } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { between, LONG, pick, seed, size } from "./harness/form.ts";
import { problemsOf } from "./harness/log.ts";
import { type Script, WORK_ANSWER, work } from "./harness/model.ts";

const ROUNDS = size(2, 12);
const RUNS = size(12, 60);

/** Two workers at once, and then a word about what they said. */
const plan: Script = async (ask, reply) => {
  await sleep(between(5, 40));
  const call = { tool: "agent_work", input: { message: "Go." } };
  if (ask.round === 0) reply.calls([call, call]);
  else await reply.text(["planned after ", `${ask.results} results`], 5);
};
const oversee: Script = (ask, reply) =>
  ask.round === 0 ? reply.calls([{ tool: "agent_plan_endless", input: { message: "Go." } }]) : reply.text(["overseen"]);
const planEndless: Script = (ask, reply) =>
  ask.round === 0 ? reply.calls([{ tool: "agent_endless", input: { message: "Go." } }]) : reply.text(["planned"]);
const endless: Script = (_, reply) =>
  reply.text(
    Array.from({ length: 10_000 }, () => "and "),
    20,
  );

let fleet: Fleet;
beforeAll(async () => {
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({
    scripts: { work, plan, oversee, "plan-endless": planEndless, endless },
    agents: {
      work: { tools },
      plan: { agents: ["work"] },
      endless: {},
      "plan-endless": { agents: ["endless"] },
      oversee: { agents: ["plan-endless"] },
    },
  });
});
afterAll(() => fleet?.end());

const treeOf = (runId: string) => fleet.api.insist<RunTree>("GET", `/runs/${runId}/tree`);

test(`calls of agents survive kill -9 of their processes, and are made once (seed ${seed})`, LONG, async () => {
  for (let round = 1; round <= ROUNDS; round++) {
    const starting = Array.from({ length: RUNS }, () => fleet.startRun("plan"));
    await sleep(between(100, size(600, 1500)));
    const victim = pick(fleet.servers);
    await victim.kill();
    const restarted = victim.start();
    const started = await Promise.all(starting);
    const runs = await fleet.api.ended(started.map(({ runId }) => runId));
    await restarted;
    expect(runs.map((run) => run.error ?? run.result?.text)).toEqual(runs.map(() => "planned after 2 results"));
    for (const { id, thread_id } of runs) {
      const { events } = await fleet.api.log(thread_id);
      expect(problemsOf(events), thread_id).toEqual([]);
      const { children } = await treeOf(id);
      // One run for each call, no more: who took the parent over joined what was there.
      const called = events.flatMap((event) => (event.type === "tool.call.started" ? [event.data.child_run_id] : []));
      expect(children.map(({ run }) => run.id)).toEqual(called);
      expect(children.map(({ run }) => run.result?.text)).toEqual([WORK_ANSWER, WORK_ANSWER]);
      for (const { run } of children) expect(problemsOf((await fleet.api.log(run.thread_id)).events)).toEqual([]);
    }
  }
  expect(fleet.model.problems).toEqual([]);
  const sent = (await fleet.ledger()).filter(({ tool }) => tool === "send").map(({ call_id }) => call_id);
  expect(new Set(sent).size).toBe(sent.length);
});

test("a cancel at another process ends every run of the tree, and nothing follows", LONG, async () => {
  const [first, second] = [fleet.server(0), fleet.server(1)];
  const { runId } = await fleet.startRun("oversee", first);
  const chain = await untilDeep(runId, 3);
  await fleet.api.send("POST", `/runs/${runId}/cancel`, undefined, second);
  const ended = await fleet.api.ended(chain.map(({ id }) => id));
  expect(ended.map(({ state }) => state)).toEqual(["canceled", "canceled", "canceled"]);
  const logs = () => Promise.all(chain.map(async ({ thread_id }) => (await fleet.api.log(thread_id)).events));
  const before = await logs();
  await sleep(500);
  expect(await logs()).toEqual(before);
  for (const events of before) expect(problemsOf(events)).toEqual([]);
});

/** The runs from the first to the deepest, once there are so many. */
async function untilDeep(runId: string, count: number): Promise<Run[]> {
  for (;;) {
    const chain: Run[] = [];
    for (let node: RunTree | undefined = await treeOf(runId); node !== undefined; node = node.children[0]) {
      chain.push(node.run);
    }
    if (chain.length === count && chain.at(-1)?.state === "running") return chain;
    await sleep(50);
  }
}
