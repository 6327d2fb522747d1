/** A database for each test file: a copy of a template that was migrated once for the whole test run. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** From `global-setup.ts`: an address that may create databases, and the template's name. */
    testPostgres: { url: string; template: string };
  }
}

export type TestDatabase = {
  url: string;
  /** Removes the database, cutting off who is still connected. */
  drop(): Promise<void>;
};

/**
 * Makes a fresh, migrated database. Call it in `beforeAll`, and `drop` in `afterAll`.
 *
 *     let database: TestDatabase;
 *     beforeAll(async () => { database = await createTestDatabase(); });
 *     afterAll(() => database.drop());
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { url, template } = inject("testPostgres");
  const name = `callboard_test_${randomBytes(8).toString("hex")}`;
  await copyTemplate(url, name, template);
  return {
    url: databaseUrl(url, name),
    drop: () => withAdmin(url, (client) => client.query(`drop database if exists ${name} with (force)`)),
  };
}

/** The same server and user, another database. */
export function databaseUrl(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

export async function withAdmin(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // a query under way rejects as well
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** The template takes no connections, so only PostgreSQL's own vacuum can be in the way: SQLSTATE 55006. */
async function copyTemplate(url: string, name: string, template: string): Promise<void> {
  await withAdmin(url, async (client) => {
    for (let tries = 1; ; tries++) {
      try {
        return await client.query(`create database ${name} template ${template}`);
      } catch (error) {
        if ((error as { code?: string }).code !== "55006" || tries === 20) throw error;
        await sleep(100);
      }
    }
  });
}
