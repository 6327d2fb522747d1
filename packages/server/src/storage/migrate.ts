/**
 * Numbered SQL files, applied in order, each in one transaction together with its entry in the ledger.
 * Servers that start together wait for each other on an advisory lock. After the last file every table of
 * tenants is behind row-level security (`protect.ts`).
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import pg from "pg";
import { connectionConfig } from "./database.ts";
import { protect } from "./protect.ts";

const folder = new URL("./migrations/", import.meta.url);
/** Any number no other program uses on this database: "callb" in ASCII. */
const LOCK = 0x63616c6c62;

/**
 * Brings the schema up to date.
 *
 * @throws when a released file was changed, the database is newer than this server, or its user lacks a right
 */
export async function migrate(connectionString: string): Promise<void> {
  const files = (await readdir(folder)).filter((name) => /^\d{4}_.+\.sql$/.test(name)).sort();
  const client = new pg.Client(connectionConfig(connectionString));
  await client.connect();
  try {
    const applied = await readLedger(client);
    const unknown = [...applied.keys()].filter((name) => !files.includes(name));
    if (unknown.length > 0) {
      throw new Error(
        `the database was made by a newer server: it has ${unknown.join(", ")}, which this one does not know`,
      );
    }
    for (const name of files) {
      const text = await readFile(new URL(name, folder), "utf8");
      const checksum = createHash("sha256").update(text).digest("hex");
      const before = applied.get(name);
      if (before === checksum) continue;
      if (before !== undefined) throw new Error(`migration ${name} was changed after it was applied to this database`);
      await client.query("begin");
      await client.query("insert into migrations (name, checksum) values ($1, $2)", [name, checksum]);
      await client.query(text);
      await client.query("commit");
    }
    await protect(client);
  } finally {
    await client.end(); // releases the lock too
  }
}

/** Takes the lock until the connection ends, and says what was applied: in one message, as every start asks this. */
async function readLedger(client: pg.Client): Promise<Map<string, string>> {
  const results: unknown = await client.query(`
    select pg_advisory_lock(${LOCK});
    create table if not exists migrations (
      name text primary key, checksum text not null, applied_at timestamptz not null default now());
    select name, checksum from migrations`);
  const [, , { rows }] = results as [unknown, unknown, pg.QueryResult<{ name: string; checksum: string }>];
  return new Map(rows.map(({ name, checksum }) => [name, checksum]));
}
