/** A process that was paused past its lease and wakes up again writes nothing for the runs it lost. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Event } from "@callboard/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withAdmin } from "../../packages/server/src/testing/database.ts";
import { Fleet } from "./harness/fleet.ts";
import { isFull, LONG, size } from "./harness/form.ts";
import { problemsOf, resumptions } from "./harness/log.ts";
import { drip, dripWords, WORK_ANSWER, work } from "./harness/model.ts";

const RUNS = size(15, 150);
const WORDS = 50;
const EVERY_MS = 100;

let fleet: Fleet;
/** The words of `drip` stop in the middle until this happens. */
let goOn = Promise.withResolvers<void>();

beforeAll(async () => {
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  const agents = { drip: {}, work: { tools } };
  fleet = await Fleet.start({ scripts: { drip: drip(WORDS, EVERY_MS, () => goOn.promise), work }, agents });
});
afterAll(() => fleet?.end());

test("a process paused past its lease finds its runs taken over and writes nothing for them", LONG, async () => {
  const [paused, other] = [fleet.server(0), fleet.server(1)];
  const dripping = await Promise.all(Array.from({ length: RUNS }, () => fleet.startRun("drip", paused)));
  const working = await Promise.all(Array.from({ length: RUNS }, () => fleet.startRun("work", paused)));
  paused.send("SIGSTOP");
  goOn.resolve();
  const first = dripping[0] as { threadId: string };
  while (resumptions((await fleet.api.log(first.threadId, other)).events).length === 0) await sleep(100);
  await sleep(1000); // the other process is in the middle of its own answers
  paused.send("SIGCONT");

  const all = [...dripping, ...working];
  const runs = await fleet.api.ended(all.map(({ runId }) => runId));
  expect(runs.map((run) => run.error ?? run.result?.text)).toEqual([
    ...dripping.map(() => dripWords(WORDS).join("")),
    ...working.map(() => WORK_ANSWER),
  ]);
  const logs = await Promise.all(all.map(({ threadId }) => fleet.api.log(threadId)));
  for (const { events } of logs) expect(problemsOf(events)).toEqual([]);
  for (const { events } of logs.slice(0, RUNS)) expectTakenOver(events);
  await expect.poll(() => paused.output).toContain("the lease was lost");

  // Whatever the paused process still had in hand has met its fence by now, and the logs are as they were.
  await sleep(1500);
  for (const [i, { threadId }] of all.entries()) {
    expect((await fleet.api.log(threadId, paused)).text).toBe(logs[i]?.text);
  }
  expect(paused.isRunning).toBe(true);
  const sent = (await fleet.ledger()).filter(({ tool }) => tool === "send").map((entry) => entry.call_id);
  expect(new Set(sent).size).toBe(sent.length);
});

test("a process that lost its lease works on under a new one", LONG, async () => {
  const before = (await fleet.ledger()).filter(({ pid }) => pid === fleet.server(0).pid).length;
  const { runId } = await fleet.startRun("work", fleet.server(0));
  const [run] = await fleet.api.ended([runId]);
  expect(run?.result?.text).toBe(WORK_ANSWER);
  expect((await fleet.ledger()).filter(({ pid }) => pid === fleet.server(0).pid).length).toBeGreaterThan(before);
});

test("leases that end behind their processes' backs cost a step and no run", LONG, async () => {
  goOn = Promise.withResolvers();
  const started = await Promise.all(Array.from({ length: 2 * RUNS }, () => fleet.startRun("drip")));
  await withAdmin(fleet.databaseUrl, (client) => client.query("delete from workers"));
  goOn.resolve();
  const runs = await fleet.api.ended(started.map(({ runId }) => runId));
  expect(runs.map((run) => run.error ?? run.result?.text)).toEqual(runs.map(() => dripWords(WORDS).join("")));
  for (const { threadId } of started) {
    const { events } = await fleet.api.log(threadId);
    expect(problemsOf(events)).toEqual([]);
    expectTakenOver(events);
  }
});

/** Once; more often only on a machine that stands still for so long that leases end by themselves. */
function expectTakenOver(events: readonly Event[]): void {
  const reasons = resumptions(events);
  expect([...new Set(reasons)]).toEqual(["taken_over"]);
  if (isFull) expect(reasons).toHaveLength(1);
}
