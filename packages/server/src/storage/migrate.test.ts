import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestDatabase, databaseUrl, type TestDatabase, withAdmin } from "../testing/database.ts";
import { migrate } from "./migrate.ts";

let empty: TestDatabase;
/** A database without any table: what is made from the template is emptied first. */
beforeEach(async () => {
  empty = await createTestDatabase();
  await withAdmin(empty.url, (client) => client.query("drop schema public cascade; create schema public"));
});
afterEach(() => empty.drop());

type Entry = { name: string; checksum: string };
async function query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
  let rows: Row[] = [];
  await withAdmin(empty.url, async (client) => {
    rows = (await client.query<Row>(text, values)).rows;
  });
  return rows;
}
const ledger = () => query<Entry>("select name, checksum from migrations order by name");

test("an empty database gets every file, once, and a second start changes nothing", async () => {
  await migrate(empty.url);
  const first = await ledger();
  expect(first[0]).toEqual({ name: "0001_start.sql", checksum: expect.stringMatching(/^[0-9a-f]{64}$/) });
  await migrate(empty.url);
  expect(await ledger()).toEqual(first);
  expect(await query("select count(*)::int as n from threads")).toEqual([{ n: 0 }]);
});

test("servers that start together apply each file once", async () => {
  await Promise.all([migrate(empty.url), migrate(empty.url), migrate(empty.url)]);
  expect(new Set((await ledger()).map(({ name }) => name)).size).toBe((await ledger()).length);
});

test("a file that was changed after it was applied is refused", async () => {
  await migrate(empty.url);
  await query("update migrations set checksum = 'other' where name = '0001_start.sql'");
  await expect(migrate(empty.url)).rejects.toThrow("migration 0001_start.sql was changed after it was applied");
});

test("a database of a newer server is refused, and told why", async () => {
  await migrate(empty.url);
  await query("insert into migrations (name, checksum) values ('9999_later.sql', 'x')");
  await expect(migrate(empty.url)).rejects.toThrow("made by a newer server: it has 9999_later.sql");
});

test("a file that fails leaves no trace, and is applied when its cause is gone", async () => {
  await query("create table threads (something_else int)");
  await expect(migrate(empty.url)).rejects.toThrow(/threads/);
  expect(await ledger()).toEqual([]);
  await query("drop table threads");
  await migrate(empty.url);
  expect(await ledger()).not.toEqual([]);
});

test("a database that does not exist is an error of its own", async () => {
  await expect(migrate(databaseUrl(empty.url, "callboard_test_not_there"))).rejects.toMatchObject({ code: "3D000" });
});
