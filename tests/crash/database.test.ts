/** PostgreSQL going away is a pause: no process ends, nothing is lost, runs go on where they were. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EmbeddedPostgres, startPostgres } from "../../packages/server/src/storage/embedded.ts";
import { createTestDatabase, type TestDatabase } from "../../packages/server/src/testing/database.ts";
import { Fleet } from "./harness/fleet.ts";
import { between, isFull, LONG, seed, size, tell } from "./harness/form.ts";
import { problemsOf } from "./harness/log.ts";
import { drip, dripWords, WORK_ANSWER, work } from "./harness/model.ts";
import { LossyProxy } from "./harness/proxy.ts";

const RUNS = size(30, 150);
const WORDS = 40;
/** How long the database stays away, one restart each: shorter and longer than a lease. */
const OUTAGES_MS = isFull ? [0, 300, 1000, 3000, 6000, 200, 9000, 500] : [300];

const tools = [{ name: "look" }, { name: "put" }, { name: "send" }];
const scripts = { drip: drip(WORDS, 50), work };
const agents = { drip: {}, work: { tools } };
const answers = [dripWords(WORDS).join(""), WORK_ANSWER];

/** Runs that speak and runs that call tools, by turns, in the order of `answers`. */
const startRuns = (fleet: Fleet) =>
  Array.from({ length: RUNS }, (_, i) => fleet.startRun(i % 2 === 0 ? "drip" : "work"));

/** Waits for the runs, checks their answers and logs. */
async function checkRuns(fleet: Fleet, starting: ReturnType<typeof startRuns>): Promise<void> {
  const started = await Promise.all(starting);
  const runs = await fleet.api.ended(started.map(({ runId }) => runId));
  expect(runs.map((run) => run.error ?? run.result?.text)).toEqual(runs.map((_, i) => answers[i % 2]));
  for (const { threadId } of started) expect(problemsOf((await fleet.api.log(threadId)).events), threadId).toEqual([]);
}

/** Everything that was begun has ended, and only what was acknowledged was begun. */
async function checkWhole(fleet: Fleet, acknowledged: number): Promise<void> {
  for (const state of ["queued", "running", "waiting"]) {
    const { data } = await fleet.api.insist<{ data: unknown[] }>("GET", `/runs?limit=100&state=${state}`);
    expect(data, state).toEqual([]);
  }
  let threads = 0;
  for (const slug of Object.keys(agents)) {
    for (let path = `/agents/${slug}/threads?limit=100`, cursor: string | null = ""; cursor !== null; ) {
      const more: string = cursor === "" ? path : `${path}&cursor=${cursor}`;
      const page: { data: unknown[]; next_cursor: string | null } = await fleet.api.insist("GET", more);
      threads += page.data.length;
      cursor = page.next_cursor;
    }
  }
  expect(threads).toBe(acknowledged);
  expect(fleet.model.problems).toEqual([]);
  const sent = (await fleet.ledger()).filter(({ tool }) => tool === "send").map((entry) => entry.call_id);
  expect(new Set(sent).size).toBe(sent.length);
}

describe("a PostgreSQL that is restarted", () => {
  let dataDir: string;
  let postgres: EmbeddedPostgres;
  let fleet: Fleet;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "callboard-crash-postgres-"));
    postgres = await startPostgres({ dataDir });
    fleet = await Fleet.start({ databaseUrl: postgres.url, scripts, agents });
  });
  afterAll(async () => {
    await fleet?.end();
    await postgres?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  test("is a pause: no process ends, runs and requests go on", LONG, async () => {
    const pids = fleet.servers.map((server) => server.pid);
    const port = Number(new URL(postgres.url).port);
    for (const outageMs of OUTAGES_MS) {
      const early = startRuns(fleet);
      await sleep(between(50, 800));
      const stopping = postgres.stop();
      // Sent into the outage: acknowledged once the database is back, and not twice.
      const late = startRuns(fleet);
      await stopping;
      await sleep(outageMs);
      postgres = await startPostgres({ dataDir, port });
      await checkRuns(fleet, early);
      await checkRuns(fleet, late);
      tell({ outageMs, runs: 2 * RUNS });
    }
    await checkWhole(fleet, 2 * RUNS * OUTAGES_MS.length);
    expect(fleet.servers.map((server) => [server.isRunning, server.pid])).toEqual(pids.map((pid) => [true, pid]));
  });

  test("refuses requests as unavailable while it is away, with a time to come back", LONG, async () => {
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
    await checkRuns(fleet, [fleet.startRun("drip"), fleet.startRun("work")]);
  });
});

describe("a connection to PostgreSQL that loses answers", () => {
  let database: TestDatabase;
  let proxy: LossyProxy;
  let fleet: Fleet;

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = new LossyProxy(database.url);
    fleet = await Fleet.start({ databaseUrl: await proxy.listen(), scripts, agents });
  });
  afterAll(async () => {
    await fleet?.end();
    await proxy?.close();
    await database?.drop();
  });

  test(`costs no run, repeats nothing and ends no process (seed ${seed})`, LONG, async () => {
    const pids = fleet.servers.map((server) => server.pid);
    const rounds = size(1, 8);
    for (let round = 1; round <= rounds; round++) {
      proxy.loss = 0.08;
      const starting = startRuns(fleet);
      await Promise.all(starting);
      await sleep(2000);
      proxy.loss = 0;
      await checkRuns(fleet, starting);
    }
    tell({ lostAnswers: proxy.lost, runs: rounds * RUNS });
    expect(proxy.lost).toBeGreaterThan(0);
    await checkWhole(fleet, rounds * RUNS);
    expect(fleet.servers.map((server) => [server.isRunning, server.pid])).toEqual(pids.map((pid) => [true, pid]));
  });
});
