/** Every table of tenants, whichever migration made it, is looked at here: nobody adds one to a list. */
import { randomBytes } from "node:crypto";
import { newId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase, withAdmin } from "../testing/database.ts";
import { Database, type Sql, type TenantScope } from "./database.ts";

let copy: TestDatabase;
let database: Database;
let tables: string[];

const [first, second] = [toUuid(newId("organization")), toUuid(newId("organization"))];
const someone = toUuid(newId("user"));
const scope = (organization: string, more: Partial<TenantScope> = {}): TenantScope => ({
  organization,
  user: someone,
  service: null,
  ...more,
});
const text = (sql: string) => ({ name: "", text: sql });

type Column = { name: string; type: string; category: string; made: boolean };
const columnsOf = (sql: Sql, table: string) =>
  sql.rows<Column>(
    text(`select attname as name, t.typname as type, t.typcategory as category,
                 attgenerated <> '' or attidentity = 'a' as made
            from pg_attribute a join pg_type t on t.oid = a.atttypid
           where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`),
    [table],
  );

/** Values by PostgreSQL's categories of types, so that a column of a new type needs no line here. */
const samples: Record<string, unknown> = { A: [], B: false, D: "2026-01-31T09:30:00Z", N: 1 };
const samplesOfType: Record<string, () => unknown> = {
  bytea: () => randomBytes(16),
  json: () => "{}",
  jsonb: () => "{}",
};

/** A statement that adds a row of that tenant, whatever the table's columns are. */
async function insertInto(table: string, organization: string): Promise<[string, unknown[]]> {
  const columns = (await columnsOf(database, table)).filter(({ made }) => !made);
  const values = columns.map(({ name, type, category }) => {
    if (name === "organization_id" || (table === "organizations" && name === "id")) return organization;
    if (type === "uuid") return name === "user_id" ? someone : toUuid(newId("user"));
    if (type in samplesOfType) return samplesOfType[type]?.();
    return category in samples ? samples[category] : `canary of ${organization}`;
  });
  const places = columns.map((_, i) => `$${i + 1}`);
  return [`insert into ${table} (${columns.map(({ name }) => name).join()}) values (${places.join()})`, values];
}

const add = async (sql: Sql, table: string, organization: string) => {
  const [statement, values] = await insertInto(table, organization);
  return sql.run(text(statement), values);
};

/** How many rows of a table somebody sees, and of how many tenants. */
async function count(sql: Sql, table: string): Promise<{ rows: number; tenants: string[] }> {
  const column = table === "organizations" ? "id" : "organization_id";
  const found = await sql.rows<{ tenant: string }>(text(`select ${column} as tenant from ${table}`));
  return { rows: found.length, tenants: [...new Set(found.map(({ tenant }) => tenant))] };
}

beforeAll(async () => {
  copy = await createTestDatabase();
  database = new Database({ connectionString: copy.url, poolSize: 2 });
  const found = await database.rows<{ name: string }>(
    text(`select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
           where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
             and a.attname = 'organization_id' and not a.attisdropped order by 1`),
  );
  tables = found.map(({ name }) => name);
  // What rows must look like is each room's business: here they only have a tenant.
  await withAdmin(copy.url, async (client) => {
    await client.query(`do $do$ declare c record; begin
      for c in select conrelid::regclass as t, conname from pg_constraint
                where contype in ('c', 'f') and connamespace = 'public'::regnamespace loop
        execute format('alter table %s drop constraint if exists %I cascade', c.t, c.conname);
      end loop; end $do$`);
    for (const table of tables) await client.query(`alter table ${table} disable trigger user`);
  });
  for (const organization of [first, second]) {
    await add(database, "organizations", organization);
    for (const table of tables) await add(database, table, organization);
  }
});
afterAll(async () => {
  await database.close();
  await copy.drop();
});

test("every table with an organization has forced row-level security and both policies", async () => {
  expect(tables.length).toBeGreaterThan(20);
  const rows = await database.rows(
    text(`select c.relname as name, relrowsecurity and relforcerowsecurity as forced,
                 exists (select from pg_policy p where p.polrelid = c.oid and polname = 'callboard_system') as system,
                 exists (select from pg_policy p where p.polrelid = c.oid and polname = 'callboard_tenant') as tenant,
                 (select bool_and(pg_get_expr(polqual, polrelid) like '%callboard.organization%') from pg_policy p
                   where p.polrelid = c.oid and polname <> 'callboard_system') as named
            from pg_class c where c.relname = any($1) and c.relnamespace = 'public'::regnamespace order by 1`),
    [tables],
  );
  expect(rows).toEqual(tables.map((name) => ({ name, forced: true, system: true, tenant: true, named: true })));
});

test("the role owns nothing, cannot log in and bypasses nothing", async () => {
  const role = text(`select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolinherit,
    (select count(*)::int from pg_class where relowner = r.oid) as owned from pg_roles r where rolname = 'callboard_tenant'`);
  expect(await database.row(role)).toMatchObject({
    rolcanlogin: false,
    rolsuper: false,
    rolbypassrls: false,
    rolcreaterole: false,
    owned: 0,
  });
});

describe("as that role", () => {
  test("without a tenant there is no row in any table, and none can be written", async () => {
    for (const table of ["organizations", "users", ...tables]) {
      const [statement, values] = table === "users" ? ["", []] : await insertInto(table, first);
      await withAdmin(copy.url, async (client) => {
        await client.query("set role callboard_tenant");
        expect([table, (await client.query(`select * from ${table}`)).rowCount]).toEqual([table, 0]);
        if (statement === "") return;
        await expect(client.query(statement, values as unknown[]), table).rejects.toMatchObject({ code: "42501" });
      });
    }
  });

  test("with an empty or a foreign tenant there is none either", async () => {
    const nobody = toUuid(newId("organization"));
    await database.tenant(scope(nobody), async (tx) => {
      for (const table of ["organizations", ...tables]) expect((await count(tx, table)).rows, table).toBe(0);
    });
    await withAdmin(copy.url, async (client) => {
      await client.query("set role callboard_tenant");
      await client.query("set callboard.organization = ''");
      for (const table of tables) expect((await client.query(`select * from ${table}`)).rowCount, table).toBe(0);
    });
  });

  test("with a tenant every statement sees that tenant's rows alone", async () => {
    for (const documents of ["", "all"]) {
      await database.tenant(scope(first), async (tx) => {
        await tx.row(text("select set_config('callboard.documents', $1, true)"), [documents]);
        for (const table of ["organizations", ...tables]) {
          const { rows, tenants } = await count(tx, table);
          // Documents are for whom they were granted to; an admin who manages them sees them all.
          const hidden = documents === "" && /^(document|collection)/.test(table);
          expect([table, rows, tenants]).toEqual([table, hidden ? rows : 1, rows === 0 ? [] : [first]]);
        }
      });
    }
  });

  test("no statement writes to another tenant", async () => {
    for (const table of tables) {
      const foreign = database.tenant(scope(first), async (tx) => {
        await tx.row(text("select set_config('callboard.documents', 'all', true)"));
        await add(tx, table, second);
      });
      await expect(foreign, table).rejects.toMatchObject({ code: "42501" });
      const changed = await database
        .tenant(scope(first), (tx) =>
          tx.run(text(`update ${table} set organization_id = organization_id where organization_id = $1`), [second]),
        )
        .catch((error: { code?: string }) => error.code);
      expect([0, "42501"], table).toContain(changed);
    }
  });

  test("the server's own tables are closed, whichever migration made them; of leases it reads", async () => {
    const found = await database.rows<{ name: string }>(
      text(`select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
             order by 1`),
    );
    const own = found.map(({ name }) => name).filter((name) => !["organizations", "users", ...tables].includes(name));
    expect(own).toEqual(expect.arrayContaining(["migrations", "passwords", "throttles", "workers"]));
    for (const table of own) {
      const as = (sql: string) => database.tenant(scope(first), (tx) => tx.rows(text(sql)));
      if (table !== "workers")
        await expect(as(`select * from ${table}`), table).rejects.toMatchObject({ code: "42501" });
      for (const write of [`delete from ${table}`, `insert into ${table} default values`]) {
        await expect(as(write), write).rejects.toMatchObject({ code: "42501" });
      }
    }
  });
});

describe("a transaction of a tenant", () => {
  const whoami = text("select current_user as role, current_setting('callboard.organization', true) as tenant");

  test("leaves nothing behind on its connection, also when it fails", async () => {
    const one = new Database({ connectionString: copy.url, poolSize: 1 });
    const outside = await one.row(whoami);
    await one.tenant(scope(first), async (tx) => {
      expect(await tx.row(whoami)).toEqual({ role: "callboard_tenant", tenant: first });
    });
    expect(await one.row(whoami)).toEqual({ ...(outside as object), tenant: "" });
    const failed = one.tenant(scope(second), (tx) => tx.row(text("select 1 / 0")));
    await expect(failed).rejects.toMatchObject({ code: "22012" });
    expect(await one.row(whoami)).toEqual({ ...(outside as object), tenant: "" });
    await one.close();
  });

  test("may do as the server what no tenant owns, and is the tenant again after it", async () => {
    await database.tenant(scope(first), async (tx) => {
      expect((await tx.asServer((sql) => count(sql, "agents"))).rows).toBe(2);
      expect((await count(tx, "agents")).rows).toBe(1);
    });
  });

  test.each(["", "x", "'; select 1; --", `${first}'`, first.toUpperCase(), `${first}\u0000`])(
    "takes %j for no tenant",
    async (organization) => {
      await expect(database.tenant(scope(organization), async () => "ran")).rejects.toThrow("takes uuids");
      await expect(database.tenant(scope(first, { user: organization }), async () => "ran")).rejects.toThrow("uuids");
    },
  );
});
