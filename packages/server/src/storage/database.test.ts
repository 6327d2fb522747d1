import { setTimeout as sleep } from "node:timers/promises";
import { CallboardError } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase, withAdmin } from "../testing/database.ts";
import { Database, isConflictError, isConnectionError, isUniqueViolation, statement } from "./database.ts";

const put = statement("test.put", "insert into notes (id, text) values ($1, $2)");
const set = statement("test.set", "update notes set text = $2 where id = $1");
const all = statement("test.all", "select id, text from notes order by id");
const clear = statement("test.clear", "delete from notes");
const kinds = statement(
  "test.kinds",
  "select 9007199254740991::bigint as number, '2026-01-31 09:30:00.12+02'::timestamptz as at",
);
const cutAll = statement(
  "test.cut",
  "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
);
const cutSelf = statement("test.cut_self", "select pg_terminate_backend(pg_backend_pid())");

let testDatabase: TestDatabase;
let database: Database;
const errors: Error[] = [];

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  await withAdmin(testDatabase.url, (client) => client.query("create table notes (id int primary key, text text)"));
  database = new Database({ connectionString: testDatabase.url, poolSize: 4, onError: (error) => errors.push(error) });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const texts = async () => (await database.rows<{ text: string }>(all)).map((row) => row.text);

describe("a transaction", () => {
  test("is written as a whole, and its after-effects come when others can see it", async () => {
    await database.run(clear);
    const order: string[] = [];
    let seen: Promise<string[]> | undefined;
    const result = await database.transaction(async (tx) => {
      tx.after(() => {
        order.push("after");
        seen = texts();
      });
      await tx.run(put, [1, "one"]);
      order.push("wrote");
      expect(await texts()).toEqual([]); // nobody else sees it yet
      await tx.run(put, [2, "two"]);
      return "done";
    });
    expect(result).toBe("done");
    expect(order).toEqual(["wrote", "after"]);
    expect(await seen).toEqual(["one", "two"]);
  });

  test("that throws leaves nothing and runs no after-effect", async () => {
    await database.run(clear);
    let effects = 0;
    const refusal = new CallboardError("not_found");
    const work = database.transaction(async (tx) => {
      tx.after(() => effects++);
      await tx.run(put, [1, "one"]);
      throw refusal;
    });
    await expect(work).rejects.toBe(refusal);
    expect(effects).toBe(0);
    expect(await texts()).toEqual([]);
  });

  test("that breaks a constraint says which", async () => {
    await database.run(clear);
    const error = await database
      .transaction(async (tx) => {
        await tx.run(put, [1, "one"]);
        await tx.run(put, [1, "again"]);
      })
      .catch((cause: unknown) => cause);
    expect(isUniqueViolation(error, "notes_pkey")).toBe(true);
    expect(isUniqueViolation(error, "other_key")).toBe(false);
    expect(isConnectionError(error)).toBe(false);
    expect(await texts()).toEqual([]);
  });

  test("that loses a deadlock is done again, with its effects once", async () => {
    await database.run(clear);
    await database.run(put, [1, ""]);
    await database.run(put, [2, ""]);
    let both: () => void = () => {};
    const locked = new Promise<void>((resolve) => {
      both = resolve;
    });
    let holding = 0;
    const tries = [0, 0];
    const effects = [0, 0];
    const work = (me: 0 | 1) =>
      database.transaction(async (tx) => {
        tries[me] = (tries[me] as number) + 1;
        tx.after(() => {
          effects[me] = (effects[me] as number) + 1;
        });
        await tx.run(set, [me + 1, `first of ${me}`]);
        if (++holding === 2) both();
        await locked;
        await tx.run(set, [2 - me, `second of ${me}`]);
      });
    await Promise.all([work(0), work(1)]);
    // On a busy machine the loser may run into the winner again before that one has committed.
    expect([...tries].sort((a, b) => a - b)).toEqual([1, expect.toSatisfy((count) => count >= 2)]);
    expect(effects).toEqual([1, 1]);
    const winner = tries[0] === 1 ? 1 : 0; // who was done again wrote last
    expect((await texts()).sort()).toEqual([`first of ${winner}`, `second of ${winner}`]);
  });

  test("whose connection is lost is refused as unavailable, and the next one works", async () => {
    await database.run(clear);
    let effects = 0;
    const work = database.transaction(async (tx) => {
      tx.after(() => effects++);
      await tx.run(put, [1, "one"]);
      await tx.run(cutSelf);
    });
    await expect(work).rejects.toMatchObject({ code: "unavailable", status: 503, details: { retry_after_ms: 1000 } });
    expect(effects).toBe(0);
    expect(await texts()).toEqual([]);
  });
});

describe("losing the database", () => {
  test("idle connections that are cut are reported and replaced", async () => {
    errors.length = 0;
    await Promise.all([1, 2, 3].map(() => database.rows(all)));
    await database.rows(cutAll);
    while (errors.length === 0) await sleep(5);
    expect(errors.every(isConnectionError)).toBe(true);
    await expect(database.rows(all)).resolves.toEqual([]);
  });

  test("a database nobody can reach is unavailable, not a failure of ours", async () => {
    const away = new Database({ connectionString: "postgresql://nobody@127.0.0.1:1/none" });
    await expect(away.rows(all)).rejects.toMatchObject({ code: "unavailable" });
    await expect(away.transaction(async () => undefined)).rejects.toMatchObject({ code: "unavailable" });
    await away.close();
  });

  test.each([
    ["the network", Object.assign(new Error("connect"), { code: "EHOSTUNREACH" }), true],
    ["a shutdown", Object.assign(new Error("terminating connection"), { code: "57P01" }), true],
    ["too many connections", Object.assign(new Error("sorry"), { code: "53300" }), true],
    ["the driver", new Error("Connection terminated unexpectedly"), true],
    ["a wrong statement", Object.assign(new Error("syntax error"), { code: "42601" }), false],
    ["a refusal", new CallboardError("not_found", "no such thing"), false],
    ["something else", "Connection terminated", false],
  ])("%s is told apart", (_, error, expected) => {
    expect(isConnectionError(error)).toBe(expected);
  });

  test("deadlocks and failed serializations are conflicts", () => {
    expect(isConflictError({ code: "40P01" })).toBe(true);
    expect(isConflictError({ code: "40001" })).toBe(true);
    expect(isConflictError({ code: "23505" })).toBe(false);
    expect(isConflictError(null)).toBe(false);
  });
});

describe("statements", () => {
  test("numbers come as numbers, times as RFC 3339 in UTC", async () => {
    expect(await database.row(kinds)).toEqual({ number: 9007199254740991, at: "2026-01-31T07:30:00.120Z" });
  });

  test("a name is given once", () => {
    expect(() => statement("test.all", "select 2")).toThrow("test.all is defined twice");
  });
});
