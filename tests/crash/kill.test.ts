/** `kill -9` at any moment loses nothing that was acknowledged, and the other process goes on. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fleet, type LedgerEntry } from "./harness/fleet.ts";
import { between, isFull, LONG, pick, seed, size, tell } from "./harness/form.ts";
import { longestSilence, problemsOf, resumptions } from "./harness/log.ts";
import { WORK_ANSWER, work } from "./harness/model.ts";

const ROUNDS = size(2, 20);
const RUNS = size(40, 300);
/** Within this the first process to look takes over; beyond it a run was forgotten. Ours is 5 s. */
const FORGOTTEN_MS = 20_000;

let fleet: Fleet;

beforeAll(async () => {
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({ scripts: { work }, agents: { work: { tools } } });
});
afterAll(() => fleet?.end());

test(`runs survive kill -9 of their processes (seed ${seed})`, LONG, async () => {
  const silences: number[] = [];
  let takenOver = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const starting = Array.from({ length: RUNS }, () => fleet.startRun("work"));
    const victim = pick(fleet.servers);
    const before = await workOf(victim.pid);
    await sleep(between(100, size(400, 1200)));
    while ((await workOf(victim.pid)) === before) await sleep(10); // some of its runs are under way
    await victim.kill();
    const restarted = victim.start();
    const started = await Promise.all(starting);

    const runs = await fleet.api.ended(started.map(({ runId }) => runId));
    await restarted;
    expect(runs.map((run) => run.error ?? run.result?.text)).toEqual(runs.map(() => WORK_ANSWER));

    for (const { threadId } of started) {
      const { events } = await fleet.api.log(threadId);
      expect(problemsOf(events), threadId).toEqual([]);
      expect(events.filter((event) => event.type === "tool.call.started")).toHaveLength(9);
      silences.push(longestSilence(events));
      takenOver += resumptions(events).filter((reason) => reason === "taken_over").length;
    }
  }
  expect(fleet.model.problems).toEqual([]);
  expect(repeated(await fleet.ledger(), "send")).toEqual([]);
  expect(takenOver).toBeGreaterThan(0);
  const longest = Math.max(...silences);
  tell({ kills: ROUNDS, runs: ROUNDS * RUNS, takenOver, longestSilenceMs: longest });
  if (isFull) expect(longest).toBeLessThan(FORGOTTEN_MS);
});

/** How often tools have worked in a process. */
const workOf = async (pid: number): Promise<number> =>
  (await fleet.ledger()).filter((entry) => entry.pid === pid).length;

/** Call ids under which a tool worked more than once. */
function repeated(ledger: readonly LedgerEntry[], tool: string): string[] {
  const ids = ledger.filter((entry) => entry.tool === tool).map((entry) => entry.call_id);
  return ids.filter((id, i) => ids.indexOf(id) !== i);
}
