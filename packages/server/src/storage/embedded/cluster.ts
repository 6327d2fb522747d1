/** The first start: PostgreSQL's files, and the database in them. */
import { execFile } from "node:child_process";
import { chmod, chown, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import type { Binaries } from "./binaries.ts";
import { type Connection, NAME, urlOf } from "./connection.ts";
import { EmbeddedPostgresError } from "./error.ts";
import { programEnv } from "./process.ts";
import type { RunAs } from "./user.ts";

const run = promisify(execFile);

export type ClusterOptions = {
  cluster: string;
  password: string;
  binaries: Binaries;
  runAs: RunAs;
  log: (line: string) => void;
};

/**
 * Makes the cluster if there is none. It gets its name when it is whole, so a process that dies half-way
 * leaves nothing that looks like a database.
 *
 * @throws EmbeddedPostgresError with what `initdb` said
 */
export async function ensureCluster(options: ClusterOptions): Promise<void> {
  const { cluster, runAs } = options;
  if ((await lstat(cluster).catch(() => undefined)) !== undefined) return;
  options.log(`making a new database in ${dirname(cluster)}`);
  const fresh = `${cluster}.new`;
  const passwordFile = join(dirname(cluster), "initdb-password");
  await rm(fresh, { recursive: true, force: true });
  await rm(passwordFile, { force: true });
  await mkdir(fresh);
  await chmod(fresh, 0o700);
  const file = await open(passwordFile, "wx", 0o600);
  try {
    await file.writeFile(`${options.password}\n`);
    await file.close();
    if (runAs !== undefined) {
      await chown(fresh, runAs.uid, runAs.gid);
      await chown(passwordFile, runAs.uid, runAs.gid);
    }
    await initdb(options, fresh, passwordFile);
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(fresh, cluster);
}

async function initdb({ binaries, runAs }: ClusterOptions, folder: string, passwordFile: string): Promise<void> {
  const as = { env: programEnv(), cwd: folder, ...(runAs && { uid: runAs.uid, gid: runAs.gid }) };
  try {
    const { stdout } = await run(binaries.initdb, ["--version"], as);
    const major = Number(/ (\d+)/.exec(stdout)?.[1]);
    // The built-in Unicode rules sort and fold alike on every system; they came with PostgreSQL 17.
    const locale = major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
    await run(
      binaries.initdb,
      [
        `--pgdata=${folder}`,
        `--username=${NAME}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        ...locale,
      ],
      as,
    );
  } catch (cause) {
    const { stderr, message } = cause as Error & { stderr?: string };
    throw new EmbeddedPostgresError(
      `A new database could not be made in ${dirname(folder)}: ${(stderr || message).trim()}`,
      cause,
    );
  }
}

/** Connects, and makes the database when it is missing. */
export async function ensureDatabase(connection: Connection): Promise<void> {
  const url = urlOf(connection);
  try {
    await withClient(url, async () => {});
  } catch (error) {
    if ((error as { code?: string }).code !== "3D000") throw error; // 3D000: invalid_catalog_name
    await withClient(url.replace(/[^/]*$/, "postgres"), (client) => client.query(`create database ${NAME}`));
  }
}

async function withClient(connectionString: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString });
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end();
  }
}
