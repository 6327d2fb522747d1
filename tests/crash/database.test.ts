/** PostgreSQL going away is a pause: no process ends, nothing is lost, runs go on where they were. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "../../packages/server/src/storage/embedded.ts";
import { Fleet } from "./harness/fleet.ts";
import { between, size, tell } from "./harness/form.ts";
import { longestSilence, problemsOf } from "./harness/log.ts";
import { drip, dripWords, WORK_ANSWER, work } from "./harness/model.ts";

const RUNS = size(30, 150);
const WORDS = 40;
/** How long the database stays away, one restart each: shorter and longer than a lease. */
const OUTAGES_MS = size(0, 1) === 0 ? [300] : [0, 300, 1000, 3000, 6000, 200, 9000, 500];

let dataDir: string;
let postgres: EmbeddedPostgres;
let fleet: Fleet;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "callboard-crash-postgres-"));
  postgres = await startPostgres({ dataDir });
  const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
  fleet = await Fleet.start({
    databaseUrl: postgres.url,
    scripts: { drip: drip(WORDS, 50), work },
    agents: { drip: {}, work: { tools } },
  });
});
afterAll(async () => {
  await fleet?.end();
  await postgres?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

test("runs under way and requests go on after PostgreSQL was restarted", async () => {
  const pids = fleet.servers.map((server) => server.pid);
  const port = Number(new URL(postgres.url).port);
  for (const outageMs of OUTAGES_MS) {
    const early = Array.from({ length: RUNS }, (_, i) => fleet.startRun(i % 2 === 0 ? "drip" : "work"));
    await sleep(between(50, 800));
    const stopping = postgres.stop();
    // Sent into the outage: acknowledged once the database is back, and not twice.
    const late = Array.from({ length: RUNS }, (_, i) => fleet.startRun(i % 2 === 0 ? "drip" : "work"));
    await stopping;
    await sleep(outageMs);
    postgres = await startPostgres({ dataDir, port });

    const started = await Promise.all([...early, ...late]);
    const runs = await fleet.api.ended(started.map(({ runId }) => runId));
    const wanted = [dripWords(WORDS).join(""), WORK_ANSWER];
    expect(runs.map((run) => run.error ?? run.result?.text)).toEqual(runs.map((_, i) => wanted[i % 2]));
    let longest = 0;
    for (const { threadId } of started) {
      const { events } = await fleet.api.log(threadId);
      expect(problemsOf(events), threadId).toEqual([]);
      longest = Math.max(longest, longestSilence(events));
    }
    tell({ outageMs, runs: started.length, longestSilenceMs: longest });
  }
  expect(fleet.servers.map((server) => [server.isRunning, server.pid])).toEqual(pids.map((pid) => [true, pid]));
  expect(fleet.model.problems).toEqual([]);
  const { data } = await fleet.api.send<{ data: unknown[] }>("GET", "/runs?limit=100&state=running");
  expect(data).toEqual([]);
});

test("a request during an outage is refused as unavailable, with a time to come back", async () => {
  const port = Number(new URL(postgres.url).port);
  await postgres.stop();
  try {
    for (const server of fleet.servers) {
      const answer = await fleet.api.request(server, "GET", "/runs");
      expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([503, "unavailable"]);
      expect(answer.headers.get("retry-after")).toBe("1");
      expect((await fetch(`${server.url}/health`)).status).toBe(503);
      expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
    }
  } finally {
    postgres = await startPostgres({ dataDir, port });
  }
  const { runId } = await fleet.startRun("work");
  expect((await fleet.api.ended([runId]))[0]?.state).toBe("completed");
});
