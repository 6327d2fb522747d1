/** A run that kills its process is given up after three times; the runs beside it are not. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fleet } from "./harness/fleet.ts";
import { LONG, size } from "./harness/form.ts";
import { problemsOf, resumptions } from "./harness/log.ts";
import { drip, dripWords, type Script } from "./harness/model.ts";

const RUNS = size(8, 40);
const WORDS = 40;

const dies: Script = (_, reply) => reply.calls([{ tool: "die", input: { key: "x" } }]);
let fleet: Fleet;

beforeAll(async () => {
  const agents = { drip: {}, dies: { tools: [{ name: "die" }] } };
  fleet = await Fleet.start({ scripts: { drip: drip(WORDS, 50), dies }, agents });
  fleet.revive();
});
afterAll(() => fleet?.end());

test("a tool that kills its process three times fails its run and no other", LONG, async () => {
  const others = await Promise.all(Array.from({ length: RUNS }, () => fleet.startRun("drip")));
  const { threadId, runId } = await fleet.startRun("dies", fleet.server(0));

  const [run] = await fleet.api.ended([runId]);
  expect(run).toMatchObject({ state: "failed", error: { code: "crash_loop" } });
  const { events } = await fleet.api.log(threadId);
  expect(problemsOf(events)).toEqual([]);
  expect(resumptions(events)).toEqual(["taken_over", "taken_over"]);

  const beside = await fleet.api.ended(others.map((other) => other.runId));
  expect(beside.map((other) => other.error ?? other.result?.text)).toEqual(beside.map(() => dripWords(WORDS).join("")));
  for (const other of others) expect(problemsOf((await fleet.api.log(other.threadId)).events)).toEqual([]);
});
