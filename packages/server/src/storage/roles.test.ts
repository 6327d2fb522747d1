/** The role for tenants on clusters of every kind: a PostgreSQL of this file's own, because roles belong to a cluster. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { databaseUrl, withAdmin } from "../testing/database.ts";
import { Database } from "./database.ts";
import { type EmbeddedPostgres, startPostgres } from "./embedded.ts";
import { migrate } from "./migrate.ts";

let dataDir: string;
let postgres: EmbeddedPostgres;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "callboard-roles-"));
  postgres = await startPostgres({ dataDir });
});
afterAll(async () => {
  await postgres.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const made: string[] = [];
afterEach(async () => {
  for (const name of made.splice(0)) {
    await admin(`drop database if exists ${name} with (force)`);
    await admin(`drop role if exists ${name}`);
  }
  await admin("drop role if exists callboard_tenant");
});

const admin = (sql: string) => withAdmin(postgres.url, (client) => client.query(sql));
const organizations = { name: "", text: "select id from organizations" };

/** A database that belongs to a user of its own, who is no superuser. */
async function external(name: string, rights = ""): Promise<string> {
  made.push(name);
  await admin(`create role ${name} login password 'secret' ${rights}`);
  await admin(`create database ${name} owner ${name}`);
  const url = new URL(databaseUrl(postgres.url, name));
  url.username = name;
  url.password = "secret";
  return url.href;
}

async function works(url: string): Promise<void> {
  const database = new Database({ connectionString: url, poolSize: 1 });
  const id = "01890000-0000-7000-8000-000000000001";
  await database.run({ name: "", text: "insert into organizations (id, name) values ($1, 'A')" }, [id]);
  expect(await database.rows(organizations)).toEqual([{ id }]); // the server sees every tenant
  const seen = (organization: string) =>
    database.tenant({ organization, user: null, service: null }, (tx) => tx.rows(organizations));
  expect(await seen(id)).toEqual([{ id }]);
  expect(await seen("01890000-0000-7000-8000-000000000002")).toEqual([]);
  await database.close();
}

test("a user who may create roles needs no help", async () => {
  const url = await external("may_create", "createrole");
  await migrate(url);
  await migrate(url);
  await works(url);
});

test("a user who may not is told what to run, and goes on when that was done", async () => {
  const url = await external("may_not");
  await expect(migrate(url)).rejects.toThrow(
    /Run once, as a superuser: create role callboard_tenant nologin; grant callboard_tenant to may_not/,
  );
  await admin("create role callboard_tenant nologin");
  await expect(migrate(url)).rejects.toThrow(/grant callboard_tenant to may_not/);
  await admin("grant callboard_tenant to may_not");
  await migrate(url);
  await works(url);
});

test("servers of several databases of one cluster may start at once", async () => {
  const names = ["one", "two", "three", "four"];
  const urls = names.map((name) => databaseUrl(postgres.url, name));
  for (const name of names) {
    made.push(name);
    await admin(`create database ${name}`);
  }
  await Promise.all([...urls, ...urls].map((url) => migrate(url)));
  for (const url of urls) await works(url);
});

test("a database that changed its owner works for the new one", async () => {
  const url = await external("old_owner", "createrole");
  await migrate(url);
  const name = "new_owner";
  made.push(name);
  await admin(`create role ${name} login password 'secret'`);
  await admin(`grant callboard_tenant to ${name}`);
  await withAdmin(databaseUrl(postgres.url, "old_owner"), async (client) => {
    await client.query(`reassign owned by old_owner to ${name}`);
  });
  const other = url.replace("old_owner:", `${name}:`);
  await migrate(other);
  await works(other);
  await withAdmin(databaseUrl(postgres.url, "old_owner"), async (client) => {
    await client.query(`reassign owned by ${name} to callboard`);
    await client.query(`drop owned by ${name}, old_owner`);
  });
});
