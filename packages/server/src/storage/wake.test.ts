import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase, withAdmin } from "../testing/database.ts";
import { Wakes } from "./wake.ts";

let testDatabase: TestDatabase;
const open: Wakes[] = [];
beforeAll(async () => {
  testDatabase = await createTestDatabase();
});
afterEach(async () => {
  for (const wakes of open.splice(0)) await wakes.close();
});
afterAll(() => testDatabase.drop());

async function process(name: string) {
  const errors: Error[] = [];
  const wakes = new Wakes(testDatabase.url, name, (error) => errors.push(error));
  open.push(wakes);
  await wakes.start();
  const heard: string[][] = [];
  wakes.on("events", (keys) => heard.push([...keys]));
  return { wakes, heard, errors };
}

/** What goes over the wire, as PostgreSQL has it. */
async function listen(): Promise<{ payloads: string[]; end: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: testDatabase.url });
  const payloads: string[] = [];
  client.on("notification", (message) => payloads.push(message.payload ?? ""));
  await client.connect();
  await client.query("listen callboard");
  return { payloads, end: () => client.end() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

describe("wake-ups", () => {
  test("reach this process at once and the others soon, each once", async () => {
    const a = await process("a");
    const b = await process("b");
    a.wakes.send("events", "org/thread");
    expect(a.heard).toEqual([["org/thread"]]);
    await until(() => b.heard.length > 0);
    // Whatever came back to its sender would be here by now: b answers after it.
    b.wakes.tell("events", "later");
    await until(() => a.heard.length > 1);
    expect(a.heard).toEqual([["org/thread"], ["later"]]);
    expect(b.heard).toEqual([["org/thread"]]);
  });

  test("told only to the others are not heard by who tells them", async () => {
    const a = await process("a");
    const b = await process("b");
    a.wakes.tell("events", "x");
    await until(() => b.heard.length > 0);
    expect(a.heard).toEqual([]);
  });

  test("of one turn go out as one message a topic, each key once", async () => {
    const a = await process("a");
    const wire = await listen();
    for (let i = 0; i < 30; i++) a.wakes.tell("events", `thread${i % 3}`);
    a.wakes.tell("queue", "");
    await until(() => wire.payloads.length >= 2);
    expect(wire.payloads).toEqual(["a:events:thread0,thread1,thread2", "a:queue:"]);
    await wire.end();
  });

  test("too many to name become one for everything", async () => {
    const a = await process("a");
    const b = await process("b");
    for (let i = 0; i < 300; i++) a.wakes.tell("events", `00000000-0000-0000-0000-${String(i).padStart(12, "0")}`);
    await until(() => b.heard.length > 0);
    expect(b.heard).toEqual([["*"]]);
  });

  test("are not sent when no other process is there to hear them", async () => {
    const a = await process("a");
    const wire = await listen();
    a.wakes.othersAlive = false;
    a.wakes.send("events", "quiet");
    await sleep(0);
    a.wakes.othersAlive = true;
    a.wakes.send("events", "loud");
    await until(() => wire.payloads.length > 0);
    expect(wire.payloads).toEqual(["a:events:loud"]);
    expect(a.heard).toEqual([["quiet"], ["loud"]]);
    await wire.end();
  });

  test("are not heard by a listener that left", async () => {
    const a = await process("a");
    const left: string[] = [];
    const leave = a.wakes.on("queue", (keys) => left.push(...keys));
    a.wakes.send("queue", "1");
    leave();
    a.wakes.send("queue", "2");
    expect(left).toEqual(["1"]);
  });
});

describe("a lost connection", () => {
  const cut = () =>
    withAdmin(testDatabase.url, (client) =>
      client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
      ),
    );

  test("comes back by itself, lets everybody look, and hears again", async () => {
    const a = await process("a");
    const b = await process("b");
    await cut();
    await until(() => a.heard.length > 0 && b.heard.length > 0);
    expect(b.heard).toEqual([["*"]]);
    expect(a.errors.length).toBeGreaterThan(0);
    a.wakes.tell("events", "after");
    await until(() => b.heard.length > 1);
    expect(b.heard).toEqual([["*"], ["after"]]);
  });

  test("is not sought again by who has closed", async () => {
    const a = await process("a");
    await cut();
    await until(() => a.errors.length > 0);
    await a.wakes.close();
    await sleep(300);
    let listening = 1;
    await withAdmin(testDatabase.url, async (client) => {
      const { rows } = await client.query(
        "select count(*)::int as n from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
      );
      listening = rows[0].n;
    });
    expect(listening).toBe(0);
  });
});
