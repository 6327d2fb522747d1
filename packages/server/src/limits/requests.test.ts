/** Several processes on one database let as many requests pass as they may, and no more. */
import { type CallboardError, newId, toUuid } from "@callboard/protocol";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Database } from "../storage/index.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { creditOf } from "./lease.ts";
import { RequestLimits, type RequestSubject } from "./requests.ts";
import { sweepBuckets, takeRequests } from "./store.ts";

let fresh: TestDatabase;
let database: Database;
let processes: RequestLimits[] = [];
beforeAll(async () => {
  fresh = await createTestDatabase();
  database = new Database({ connectionString: fresh.url, poolSize: 4 });
});
afterEach(async () => {
  await Promise.all(processes.map((one) => one.stop()));
  processes = [];
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

const start = (count: number): RequestLimits[] => {
  const onError = (error: unknown) => {
    throw error;
  };
  processes = Array.from({ length: count }, () => new RequestLimits({ sql: database, onError }));
  return processes;
};
const subject = (perMinute: number | null, kind: "token" | "organization" = "token"): RequestSubject => ({
  kind,
  organization: toUuid(newId("organization")),
  id: toUuid(newId("token")),
  perMinute,
});
/** What a request got: `passed`, or the refusal's code. */
const ask = async (limits: RequestLimits, ...subjects: RequestSubject[]): Promise<string> => {
  try {
    await limits.admit(subjects);
    return "passed";
  } catch (error) {
    return (error as CallboardError).code;
  }
};
const levelOf = async ({ id }: RequestSubject) => {
  const text = "select level from rate_buckets where subject_id = $1";
  return (await database.row<{ level: number }>({ name: "", text }, [id]))?.level;
};

describe.each([
  [1, 30],
  [3, 60],
  [4, 600],
  [2, 6000],
])("%i processes with a limit of %i a minute", (count, perMinute) => {
  test("let together at least the limit pass, and at most that, what came back meanwhile, and the bound", async () => {
    const all = start(count);
    const who = subject(perMinute);
    const began = performance.now();
    let passed = 0;
    const client = async (limits: RequestLimits) => {
      for (let n = 0; n < perMinute; n++) if ((await ask(limits, who)) === "passed") passed++;
    };
    await Promise.all(all.flatMap((limits) => [client(limits), client(limits), client(limits)]));
    const back = ((performance.now() - began) / 60_000) * perMinute;
    expect(passed).toBeLessThanOrEqual(perMinute + back + count * creditOf(perMinute));
    // What a process was granted and did not need is lost to the others until it goes back.
    expect(passed).toBeGreaterThanOrEqual(perMinute - count * Math.ceil(perMinute / 60));
  });
});

test("a request within the limit waits for nobody, once the process knows the bucket", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(60_000);
  expect(await ask(limits, who)).toBe("passed");
  await expect.poll(() => levelOf(who)).toBeDefined();
  for (let n = 0; n < 400; n++) expect(limits.admit([who])).toBeUndefined();
});

test("who is refused is told when to come again, and then passes", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(60);
  let refusal: CallboardError | undefined;
  for (let n = 0; n < 70 && refusal === undefined; n++) {
    await Promise.resolve(limits.admit([who])).catch((error) => {
      refusal = error;
    });
  }
  expect(refusal).toMatchObject({
    code: "rate_limited",
    status: 429,
    details: { limit: "token", requests_per_minute: 60 },
  });
  const wait = refusal?.details.retry_after_ms as number;
  expect(wait).toBeGreaterThan(0);
  expect(wait).toBeLessThanOrEqual(3000);
  await expect.poll(() => ask(limits, who), { interval: 200 }).toBe("passed");
});

test("while it is refused a subject costs the database nothing", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(1);
  for (let n = 0; n < 5; n++) await ask(limits, who);
  const before = await levelOf(who);
  for (let n = 0; n < 1000; n++) expect(await ask(limits, who)).toBe("rate_limited");
  expect(await levelOf(who)).toBe(before);
});

test("a request that the organization's limit refuses does not count for its token", async () => {
  const [limits] = start(1) as [RequestLimits];
  const [token, organization] = [subject(1000), subject(5, "organization")];
  const outcomes: string[] = [];
  for (let n = 0; n < 40; n++) outcomes.push(await ask(limits, token, organization));
  const passed = outcomes.filter((outcome) => outcome === "passed").length;
  expect(passed).toBeLessThanOrEqual(5 + creditOf(5));
  await limits.stop();
  expect(await levelOf(token)).toBeGreaterThan(1000 - passed - 1);
});

test("what a process was granted and did not use goes back when it stops", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(6000);
  for (let n = 0; n < 10; n++) await ask(limits, who);
  await limits.stop();
  expect(await levelOf(who)).toBeGreaterThan(5989);
});

test("without a limit nothing is counted", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(null);
  for (let n = 0; n < 1000; n++) expect(limits.admit([who])).toBeUndefined();
  expect(await levelOf(who)).toBeUndefined();
});

test("a limit that is lowered is true for the next request, whatever was granted under the old one", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(600_000);
  for (let n = 0; n < 3; n++) expect(await ask(limits, who)).toBe("passed");
  await expect.poll(() => levelOf(who)).toBeDefined();
  const lower = { ...who, perMinute: 10 };
  const outcomes = [];
  for (let n = 0; n < 40; n++) outcomes.push(await ask(limits, lower));
  const passed = outcomes.filter((outcome) => outcome === "passed").length;
  expect(passed).toBeGreaterThanOrEqual(9);
  expect(passed).toBeLessThanOrEqual(10 + 2 * creditOf(10));
});

test("a limit that was changed elsewhere is true for a process that starts", async () => {
  const [limits] = start(1) as [RequestLimits];
  const who = subject(6000);
  for (let n = 0; n < 3; n++) expect(await ask(limits, who)).toBe("passed");
  await limits.stop();
  const [next] = start(1) as [RequestLimits];
  const lower = { ...who, perMinute: 2 };
  const outcomes = [];
  for (let n = 0; n < 6; n++) outcomes.push(await ask(next, lower));
  expect(outcomes.filter((outcome) => outcome === "passed").length).toBeLessThanOrEqual(3);
});

test("many subjects ask in one statement, and a full bucket is forgotten", async () => {
  const askings = Array.from({ length: 50 }, () => ({ ...subject(10), debt: 1, asked: 3 }));
  const rows = askings.map(({ organization, id, ...rest }) => ({ organization, subject: id, ...rest, perMinute: 10 }));
  const first = await takeRequests(database, rows);
  expect(first.map(({ granted, level }) => [granted, level])).toEqual(first.map(() => [3, 6]));
  const second = await takeRequests(database, rows);
  expect(second.every(({ granted, level }) => granted === 3 && level >= 2 && level < 6)).toBe(true);
  await database.run({ name: "", text: "update rate_buckets set filled_at = now() - interval '6 minutes'" });
  expect(await sweepBuckets(database)).toBeGreaterThanOrEqual(50);
});

test("when the database is away a request that must ask is refused as unavailable", async () => {
  const gone = new Database({ connectionString: "postgresql://nobody@127.0.0.1:1/none", poolSize: 1 });
  const errors: unknown[] = [];
  const limits = new RequestLimits({ sql: gone, onError: (error) => errors.push(error) });
  const who = subject(60);
  expect(await ask(limits, who)).toBe("passed"); // on credit
  expect(await ask(limits, who)).toBe("unavailable");
  expect(errors.length).toBeGreaterThan(0);
  await limits.stop();
  await gone.close();
});
