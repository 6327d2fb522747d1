/**
 * Two processes write to logs of one database; readers follow them in the first one. Some writes are told by
 * nobody, readers pause, and connections of readers are cut and come back where they were.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fromUuid } from "@callboard/protocol";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Database, statement, Wakes } from "../storage/index.ts";
import { createTestDatabase, type TestDatabase } from "../testing/database.ts";
import { type LoggedEvent, newEvent } from "./event.ts";
import { Feed, type Follower } from "./feed.ts";
import { eventsAfter, insertEvents, type LogKey } from "./store.ts";

const organization = randomUUID();
const open = statement(
  "feed_test.open",
  `insert into threads (organization_id, id, state, created_by_kind, created_by_id, last_seq, variables, metadata, created_at, updated_at)
   values ($1, $2, 'idle', 'user', $1, 0, '{}', '{}', now(), now())`,
);
const extend = statement(
  "feed_test.extend",
  "update threads set last_seq = last_seq + $3 where organization_id = $1 and id = $2 returning last_seq",
);
const remove = statement("feed_test.remove", "delete from threads where organization_id = $1 and id = $2");

let testDatabase: TestDatabase;
let here: Awaited<ReturnType<typeof process>>;
let there: Awaited<ReturnType<typeof process>>;

async function process(name: string) {
  const database = new Database({ connectionString: testDatabase.url, poolSize: 4 });
  const wakes = new Wakes(testDatabase.url, name, () => {});
  await wakes.start();
  return { database, wakes, feed: new Feed(database, wakes) };
}

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  here = await process("here");
  there = await process("there");
});
afterAll(async () => {
  for (const { wakes, database } of [here, there]) {
    await wakes.close();
    await database.close();
  }
  await testDatabase.drop();
});

async function newLog(): Promise<LogKey> {
  const key = { organization, thread: randomUUID() };
  await here.database.run(open, [key.organization, key.thread]);
  return key;
}

let written = 0;
const fresh = (key: LogKey, bytes = 10) =>
  newEvent(
    fromUuid("thread", key.thread),
    null,
    "status.relayed",
    { text: `${++written} ${"x".repeat(bytes)}` },
    "2026-01-31T09:30:00.000Z",
  );

/** Writes as a process does: numbers under the thread's lock, then one commit, then it is told. */
async function write(
  by: { database: Database; feed: Feed },
  key: LogKey,
  count: number,
  how: "published" | "touched" | "untold" = "published",
  bytes?: number,
): Promise<LoggedEvent[]> {
  const events = Array.from({ length: count }, () => fresh(key, bytes));
  const logged = await by.database.transaction(async (tx) => {
    const row = await tx.row<{ last_seq: number }>(extend, [key.organization, key.thread, count]);
    const first = (row?.last_seq ?? 0) - count + 1;
    await insertEvents(
      tx,
      key,
      first,
      events.map((event) => ({ run: null, type: event.type, body: event.body })),
    );
    return events.map((event, i) => ({ seq: first + i, type: event.type, body: event.body }));
  });
  if (how === "published") by.feed.publish(key, logged);
  else if (how === "touched") by.feed.touch(key);
  return logged;
}

/** A client: it notes what it gets, pauses now and then, and can be cut off and come back. */
class Client {
  readonly got: LoggedEvent[] = [];
  readonly key: LogKey;
  readonly after: number;
  pauses: boolean;
  ended: string | undefined;
  #follower: Follower | undefined;

  constructor(key: LogKey, after = 0, pauses = false) {
    this.key = key;
    this.after = after;
    this.pauses = pauses;
    this.connect();
  }
  get last(): number {
    return this.got.at(-1)?.seq ?? this.after;
  }
  get waiting(): boolean {
    return this.#follower?.waiting === true;
  }
  connect(): void {
    this.#follower?.close();
    this.#follower = here.feed.follow(this.key, this.last, {
      deliver: (events) => {
        this.got.push(...events);
        return !this.pauses;
      },
      end: (reason) => {
        this.ended = reason;
      },
    });
  }
  resume(): void {
    this.#follower?.resume();
  }
  close(): void {
    this.#follower?.close();
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 2000) throw new Error("what was waited for did not happen");
    await sleep(i < 20 ? 0 : 2);
  }
}
/** Lets the slow poll run until a client has everything. */
async function settle(clients: readonly Client[], last: number): Promise<void> {
  for (let i = 0; clients.some((client) => client.last < last); i++) {
    if (i > 500) throw new Error(`readers are at ${clients.map((client) => client.last)} of ${last}`);
    for (const client of clients) {
      client.pauses = false;
      client.resume();
    }
    await sleep(1);
    await here.feed.tick();
  }
}

async function expectAll(clients: readonly Client[], key: LogKey): Promise<void> {
  const log = await eventsAfter(here.database, key, 0, 10_000);
  expect(log.map(({ seq }) => seq)).toEqual(log.map((_, i) => i + 1));
  for (const client of clients) {
    const plain = client.got.map(({ seq, type, body }) => ({ seq, type, body }));
    expect(plain).toEqual(log.slice(client.after));
  }
}

type Step =
  | { do: "write"; by: "here" | "there"; how: "published" | "touched" | "untold"; count: number; wait: boolean }
  | { do: "follow"; after: number; pauses: boolean }
  | { do: "cut"; which: number }
  | { do: "pause" | "resume"; which: number }
  | { do: "tail" | "tick" | "yield" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      by: fc.constantFrom("here" as const, "there" as const),
      how: fc.constantFrom("published" as const, "published" as const, "touched" as const, "untold" as const),
      count: fc.integer({ min: 1, max: 4 }),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("follow" as const), after: fc.nat(12), pauses: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), which: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("pause" as const, "resume" as const), which: fc.nat(5) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("tail" as const, "tick" as const, "yield" as const) }) },
);

describe("followers (F1–F3)", () => {
  test("get every event once, in order, with the log's own bytes, whatever happens around them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
        const key = await newLog();
        const clients: Client[] = [new Client(key)];
        const pending: Promise<unknown>[] = [];
        let count = 0;
        for (const one of steps) {
          const client = "which" in one ? clients[one.which % clients.length] : undefined;
          if (one.do === "write") {
            count += one.count;
            const work = write(one.by === "here" ? here : there, key, one.count, one.how);
            pending.push(work);
            if (one.wait) await work;
          } else if (one.do === "follow") clients.push(new Client(key, Math.min(one.after, count), one.pauses));
          else if (one.do === "cut") client?.connect();
          else if (one.do === "pause" && client !== undefined) client.pauses = true;
          else if (one.do === "resume" && client !== undefined) {
            client.pauses = false;
            client.resume();
          } else if (one.do === "tick") pending.push(here.feed.tick());
          else if (one.do === "yield") await sleep(1);
          else if (one.do === "tail" && count === 0) here.feed.keepTail(key, []);
        }
        await Promise.all(pending);
        await settle(clients, count);
        await expectAll(clients, key);
        for (const one of clients) one.close();
      }),
      { numRuns: 60 },
    );
    expect(here.feed.size).toEqual({ logs: 0, followers: 0 });
  });

  test("of this process need no read for what is committed here", async () => {
    const key = await newLog();
    const client = new Client(key);
    await until(() => client.waiting);
    const [event] = await write(here, key, 1);
    expect(client.got).toEqual([event]); // handed over in the same turn
    client.close();
  });

  test("are woken by another process", async () => {
    const key = await newLog();
    const clients = [new Client(key), new Client(key), new Client(key, 2)];
    await until(() => clients.every((client) => client.waiting));
    await write(there, key, 3);
    await until(() => clients.every((client) => client.last === 3));
    await expectAll(clients, key);
    for (const client of clients) client.close();
  });

  test("find by themselves what nobody told them about", async () => {
    const key = await newLog();
    const client = new Client(key);
    await until(() => client.waiting);
    await write(there, key, 2, "untold");
    expect(client.got).toEqual([]);
    await here.feed.tick();
    await until(() => client.last === 2);
    client.close();
  });

  test("read logs longer than a page, and events larger than one", async () => {
    const key = await newLog();
    await write(here, key, 1203, "untold");
    await write(here, key, 3, "untold", 300_000);
    await write(here, key, 5, "untold");
    const client = new Client(key);
    await until(() => client.last === 1211);
    await expectAll([client], key);
    client.close();
  });

  test("a gap in what is published makes them read the log", async () => {
    const key = await newLog();
    const client = new Client(key);
    await until(() => client.waiting);
    const first = await write(here, key, 2, "untold");
    const second = await write(here, key, 1, "untold");
    here.feed.publish(key, second);
    here.feed.publish(key, first); // late, and already read or about to be
    await until(() => client.last === 3);
    await expectAll([client], key);
    client.close();
  });

  test("that are not ready hold nothing, and go on after their cursor", async () => {
    const key = await newLog();
    const client = new Client(key, 0, true);
    await write(here, key, 1);
    await until(() => client.last === 1);
    await write(here, key, 5);
    await write(there, key, 5);
    await sleep(5);
    expect(client.last).toBe(1);
    client.pauses = false;
    client.resume();
    await until(() => client.last === 11);
    await expectAll([client], key);
    client.close();
  });

  test("that were closed get nothing more", async () => {
    const key = await newLog();
    const client = new Client(key);
    await until(() => client.waiting);
    client.close();
    client.close();
    await write(here, key, 1);
    expect(client.got).toEqual([]);
  });
});

describe("a deleted thread", () => {
  test("ends its followers here at once", async () => {
    const key = await newLog();
    const client = new Client(key);
    const other = new Client(await newLog());
    await here.database.run(remove, [key.organization, key.thread]);
    here.feed.deleted(key);
    expect(client.ended).toBe("deleted");
    expect(other.ended).toBeUndefined();
    other.close();
    expect(here.feed.size).toEqual({ logs: 0, followers: 0 });
  });

  test("ends them also when another process deleted it", async () => {
    const key = await newLog();
    const client = new Client(key);
    await until(() => client.waiting);
    await there.database.run(remove, [key.organization, key.thread]);
    there.feed.deleted(key);
    await here.feed.tick();
    expect(client.ended).toBe("deleted");
  });
});

describe("the tail of a log that began here", () => {
  test("serves a reader who comes at once without a read", async () => {
    const key = await newLog();
    here.feed.keepTail(key, []);
    const events = [...(await write(here, key, 3)), ...(await write(here, key, 2))];
    const all = new Client(key);
    expect(all.got).toEqual(events);
    const half = new Client(key, 3);
    expect(half.got).toEqual(events.slice(3));
    for (const client of [all, half]) client.close();
    here.feed.dropTail(key);
  });

  test("is given up when somebody else writes in between, and when it grows too large", async () => {
    const byOther = (key: LogKey) => write(there, key, 1, "untold");
    const tooLarge = (key: LogKey) => write(here, key, 1, "published", 200_000);
    for (const spoil of [byOther, tooLarge]) {
      const key = await newLog();
      here.feed.keepTail(key, []);
      await write(here, key, 1);
      await spoil(key);
      await write(here, key, 1);
      const client = new Client(key);
      expect(client.got).toEqual([]); // it reads
      await until(() => client.last === 3);
      await expectAll([client], key);
      client.close();
    }
  });

  test("is let go after a moment, and who comes then reads the log", async () => {
    const key = await newLog();
    here.feed.keepTail(key, []);
    await write(here, key, 2);
    for (let looks = 0; looks < 2; looks++) await here.feed.tick();
    expect(here.feed.hasTail(key)).toBe(true);
    await here.feed.tick();
    expect(here.feed.hasTail(key)).toBe(false);
    const client = new Client(key);
    await until(() => client.last === 2);
    await expectAll([client], key);
    client.close();
  });

  test("goes with the run", async () => {
    const key = await newLog();
    here.feed.keepTail(key, []);
    await write(here, key, 2);
    here.feed.dropTail(key);
    here.feed.dropTail(key);
    const client = new Client(key);
    expect(client.got).toEqual([]);
    await until(() => client.last === 2);
    client.close();
  });
});

test("the database being away is a pause: the reader keeps its place", async () => {
  const own = new Database({ connectionString: testDatabase.url });
  const wakes = new Wakes(testDatabase.url, "own", () => {});
  const feed = new Feed(own, wakes);
  const key = await newLog();
  await write(here, key, 2, "untold");
  const got: number[] = [];
  const reader = {
    deliver: (events: readonly LoggedEvent[]) => got.push(...events.map(({ seq }) => seq)) > 0,
    end() {},
  };
  const { read } = feed;
  feed.read = async () => {
    throw new Error("Connection terminated unexpectedly");
  };
  const follower = feed.follow(key, 0, reader);
  await until(() => follower.waiting);
  expect(got).toEqual([]);
  feed.read = read;
  await feed.tick();
  await until(() => got.length === 2);
  expect(got).toEqual([1, 2]);
  follower.close();
  await own.close();
});
