/**
 * Before all tests: one PostgreSQL for the run, and a migrated template database in it. After all tests
 * both are gone. With TEST_DATABASE_URL an existing server is used; its user must be allowed to
 * create databases.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startPostgres } from "../storage/embedded.ts";
import { migrate } from "../storage/migrate.ts";
import { databaseUrl, withAdmin } from "./database.ts";

const PREFIX = "callboard-test-run-";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await testPostgres();
  const template = `callboard_template_${randomBytes(6).toString("hex")}`;
  try {
    await withAdmin(postgres.url, (client) => client.query(`create database ${template}`));
    await migrate(databaseUrl(postgres.url, template));
    await withAdmin(postgres.url, (client) => client.query(`alter database ${template} allow_connections false`));
  } catch (error) {
    await postgres.end();
    throw error;
  }
  project.provide("testPostgres", { url: postgres.url, template });
  return async () => {
    await withAdmin(postgres.url, (client) => client.query(`drop database ${template}`));
    await postgres.end();
  };
}

async function testPostgres(): Promise<{ url: string; end(): Promise<void> }> {
  const given = process.env.TEST_DATABASE_URL;
  if (given !== undefined && given !== "") return { url: given, end: async () => {} };
  await removeAbandoned();
  const dataDir = await mkdtemp(join(tmpdir(), PREFIX));
  // Nothing here outlives the machine, and a disk that is slow to confirm holds up every test. Little of the log is kept.
  const settings = { fsync: "off", full_page_writes: "off", max_wal_size: "256MB" };
  const postgres = await startPostgres({ dataDir, settings });
  return {
    url: postgres.url,
    async end() {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Removes what test runs that were killed have left, a running PostgreSQL included. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const dataDir = join(tmpdir(), name);
    try {
      const { mtimeMs, uid } = await stat(dataDir);
      if (uid !== (process.getuid?.() ?? uid)) continue;
      // One that has just changed may be another run's, about to start or to end.
      if (Date.now() - mtimeMs < 60_000) continue;
      await (await startPostgres({ dataDir })).stop();
      await rm(dataDir, { recursive: true, force: true });
    } catch {
      // another run's, which is under way
    }
  }
}
