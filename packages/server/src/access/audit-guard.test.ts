/** The database itself keeps the audit log: entries are added, and erased in one way that leaves an entry. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { newId, type OrganizationId, toUuid } from "@callboard/protocol";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Database, migrate } from "../storage/index.ts";
import { createTestDatabase, type TestDatabase, withAdmin } from "../testing/database.ts";
import { audit, type NewEntry } from "./audit.ts";
import { checkAudit } from "./audit-check.ts";

let fresh: TestDatabase;
let database: Database;
beforeAll(async () => {
  fresh = await createTestDatabase();
  database = new Database({ connectionString: fresh.url, poolSize: 4 });
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

const entry = (organizationId: OrganizationId, target: string): NewEntry => ({
  actor: { operatorOf: organizationId },
  action: "group.update",
  target,
  outcome: "done",
  requestId: null,
});
async function organizationWith(entries: number): Promise<OrganizationId> {
  const id = newId("organization");
  for (let n = 1; n <= entries; n++) await audit(database, entry(id, `thing-${n}`));
  return id;
}
/** What the database says to a statement: its SQLSTATE, or the number of rows. */
async function attempt(text: string): Promise<string | number | null> {
  let result: string | number | null = null;
  await withAdmin(fresh.url, async (client) => {
    result = await client.query(text).then(
      ({ rowCount }) => rowCount,
      (error: { code: string }) => error.code,
    );
  });
  return result;
}

test.each([
  "update audit_entries set target = 'other'",
  "update audit_entries set outcome = outcome",
  "delete from audit_entries",
  "truncate audit_entries",
  "truncate audit_entries, audit_heads",
  "update audit_heads set seq = seq + 1",
  "delete from audit_heads",
  "truncate audit_heads",
  "insert into audit_heads (organization_id, seq, hash) values (gen_random_uuid(), 7, sha256('x'))",
  "set session_replication_role = replica; update audit_entries set target = 'other'",
])("the database refuses: %s", async (text) => {
  const id = await organizationWith(2);
  expect(await attempt(text)).toBe("42501");
  expect(await checkAudit(database, id)).toMatchObject({ ok: true, entries: 2 });
});

test("an inserted entry gets its place from the database, whatever it says of itself", async () => {
  const id = await organizationWith(2);
  const inserted = await attempt(
    `insert into audit_entries (organization_id, id, actor_kind, action, outcome, details, seq, prev_hash, hash)
     values ('${toUuid(id)}', gen_random_uuid(), 'operator', 'group.update', 'done', '{}', 77, 'x', 'y')`,
  );
  expect(inserted).toBe(1);
  expect(await checkAudit(database, id)).toMatchObject({ ok: true, entries: 3, head: { seq: 3 } });
});

test("an entry whose act is rolled back leaves no gap", async () => {
  const id = await organizationWith(1);
  const failing = database.transaction(async (tx) => {
    await audit(tx, entry(id, "never"));
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  await audit(database, entry(id, "thing-2"));
  expect(await checkAudit(database, id)).toMatchObject({ ok: true, entries: 2, head: { seq: 2 } });
});

test("the oldest entries can be erased; the rest still fits, and an entry tells of it", async () => {
  const id = await organizationWith(6);
  const other = await organizationWith(2);
  const anchor = (await checkAudit(database, id)).head.anchor;
  expect(await attempt(`select audit_erase('${toUuid(id)}', 4)`)).toBe(1);
  expect(await checkAudit(database, id, anchor)).toMatchObject({
    ok: true,
    entries: 3,
    erased_through: 4,
    head: { seq: 7 },
  });
  const last = await database.row<{ action: string; details: object }>(
    { name: "", text: "select action, details from audit_entries where organization_id = $1 order by seq desc" },
    [toUuid(id)],
  );
  expect(last).toEqual({ action: "audit.erase", details: { entries: 4, through_seq: 4 } });
  expect(await checkAudit(database, id, `3:${"0".repeat(64)}`)).toMatchObject({
    ok: false,
    problem: { kind: "anchor" },
  });
  expect(await checkAudit(database, other)).toMatchObject({ ok: true, entries: 2 });
  expect(await attempt("delete from audit_entries")).toBe("42501");
});

test("an organization's whole log can be erased", async () => {
  const id = await organizationWith(3);
  expect(await attempt(`select audit_erase('${toUuid(id)}', null)`)).toBe(1);
  expect(await checkAudit(database, id)).toMatchObject({ ok: true, entries: 0, head: { seq: 0 } });
});

test("entries from before the chain are taken into it, in the order of their time", async () => {
  const old = await createTestDatabase();
  const ids = [newId("organization"), newId("organization")] as const;
  try {
    await withAdmin(old.url, (client) => before(client, ids));
    await migrate(old.url);
    const migrated = new Database({ connectionString: old.url, poolSize: 2 });
    try {
      await audit(migrated, entry(ids[0], "after"));
      expect(await checkAudit(migrated, ids[0])).toMatchObject({ ok: true, entries: 4 });
      expect(await checkAudit(migrated, ids[1])).toMatchObject({ ok: true, entries: 3 });
      expect(await targets(migrated, ids[0])).toEqual(["thing-1", "thing-2", "thing-3", "after"]);
    } finally {
      await migrated.close();
    }
  } finally {
    await old.drop();
  }
});

/** The schema as it was, with three entries of each organization. */
async function before(client: pg.Client, ids: readonly OrganizationId[]): Promise<void> {
  await client.query("drop schema public cascade; create schema public");
  await client.query(
    "create table migrations (name text primary key, checksum text not null, applied_at timestamptz default now())",
  );
  for (const name of ["0001_start.sql", "0002_jobs.sql"]) {
    const text = await readFile(new URL(`../storage/migrations/${name}`, import.meta.url), "utf8");
    await client.query(text);
    const checksum = createHash("sha256").update(text).digest("hex");
    await client.query("insert into migrations (name, checksum) values ($1, $2)", [name, checksum]);
  }
  for (const n of [1, 2, 3]) {
    for (const id of ids) {
      await client.query(
        `insert into audit_entries (organization_id, id, actor_kind, action, target, outcome, details)
         values ($1, $2, 'operator', 'group.update', $3, 'done', '{"a": 1.50}')`,
        [toUuid(id), toUuid(newId("audit", 1000 + n)), `thing-${n}`],
      );
    }
  }
}

async function targets(sql: Database, id: OrganizationId): Promise<string[]> {
  const text = "select target from audit_entries where organization_id = $1 order by seq";
  const rows = await sql.rows<{ target: string }>({ name: "", text }, [toUuid(id)]);
  return rows.map(({ target }) => target);
}
