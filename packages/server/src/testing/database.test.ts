import pg from "pg";
import { expect, test } from "vitest";
import { createTestDatabase, withAdmin } from "./database.ts";

async function values(url: string, text: string): Promise<unknown[]> {
  let found: unknown[] = [];
  await withAdmin(url, async (client) => {
    found = (await client.query({ text, rowMode: "array" })).rows.map(([value]) => value);
  });
  return found;
}

test("databases made at the same time are migrated and do not see each other", async () => {
  const databases = await Promise.all([createTestDatabase(), createTestDatabase(), createTestDatabase()]);
  try {
    const [first, second] = databases;
    await values(first.url, "create table only_here (n int)");
    expect(await values(second.url, "select to_regclass('only_here')")).toEqual([null]);
    for (const { url } of databases) {
      expect(await values(url, "select to_regclass('threads') is not null")).toEqual([true]);
      expect(await values(url, "select count(*)::int > 0 from migrations")).toEqual([true]);
    }
  } finally {
    for (const database of databases) await database.drop();
  }
});

test("a dropped database is gone, connections or not", async () => {
  const database = await createTestDatabase();
  const client = new pg.Client({ connectionString: database.url });
  client.on("error", () => {});
  await client.connect();
  const ended = new Promise((resolve) => client.once("end", resolve));
  await database.drop();
  await ended;
  await expect(values(database.url, "select 1")).rejects.toMatchObject({ code: "3D000" });
});
