/** PostgreSQL's postmaster as a child process: started, awaited, asked to end. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Binaries } from "./binaries.ts";
import { EmbeddedPostgresError } from "./error.ts";
import type { RunAs } from "./user.ts";

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

/** `ended` never rejects. */
export type Postmaster = { child: ChildProcess; pid: number; ended: Promise<Exit> };

export type LaunchOptions = {
  dataDir: string;
  cluster: string;
  binaries: Binaries;
  runAs: RunAs;
  settings: Record<string, string>;
  port: number;
  log: (line: string) => void;
};

const LOG_LIMIT_BYTES = 10 * 1024 * 1024;

/** What the programs get to see of our environment: no secrets, no `PG…` variables, messages in English. */
export function programEnv(): NodeJS.ProcessEnv {
  const kept = ["PATH", "SystemRoot", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), LC_ALL: "C" };
}

/**
 * Starts the postmaster and waits until it takes connections. After a crash that lasts as long as the
 * replay of the log does.
 *
 * @throws EmbeddedPostgresError with the end of its log when it ends instead
 */
export async function launch(options: LaunchOptions): Promise<Postmaster> {
  const logPath = join(options.dataDir, "postgres.log");
  const size = await logSize(logPath);
  if (size > LOG_LIMIT_BYTES) await rename(logPath, `${logPath}.1`);
  const logStart = size > LOG_LIMIT_BYTES ? 0 : size;

  const postmaster = await spawnPostmaster(options, logPath);
  let exit: Exit | undefined;
  void postmaster.ended.then((found) => {
    exit = found;
  });
  const startedAt = Date.now();
  for (let told = startedAt; ; ) {
    if (exit !== undefined) {
      const said = (await readFile(logPath)).subarray(logStart).toString("utf8").trim().split("\n").slice(-8);
      throw new EmbeddedPostgresError(
        `PostgreSQL did not start on ${options.cluster} (${exit.signal ?? `exit code ${exit.code}`}). ` +
          `It said, in ${logPath}:\n  ${said.join("\n  ")}`,
      );
    }
    if (await isReady(options.cluster, postmaster.pid)) return postmaster;
    if (Date.now() - told > 5000) {
      told = Date.now();
      options.log(`PostgreSQL is still starting after ${Math.round((told - startedAt) / 1000)} s; see ${logPath}`);
    }
    await sleep(5);
  }
}

async function logSize(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

async function spawnPostmaster(options: LaunchOptions, logPath: string): Promise<Postmaster> {
  const settings = Object.entries(options.settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  // A file rather than a pipe: PostgreSQL can go on writing when we are killed.
  const logFile = await open(logPath, "a", 0o600);
  try {
    const child = spawn(options.binaries.postgres, ["-D", options.cluster, "-p", String(options.port), ...settings], {
      detached: true, // a session of its own: Ctrl-C in the terminal reaches us alone
      stdio: ["ignore", logFile.fd, logFile.fd],
      cwd: options.cluster,
      env: programEnv(),
      windowsHide: true,
      ...(options.runAs && { uid: options.runAs.uid, gid: options.runAs.gid }),
    });
    const ended = new Promise<Exit>((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    await once(child, "spawn"); // rejects when the program cannot be run
    child.on("error", () => {}); // a signal that could not be sent; whoever waits for the end notices
    return { child, pid: child.pid as number, ended };
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `PostgreSQL's program could not be run: ${(cause as Error).message}. Point CALLBOARD_POSTGRES_BIN at the ` +
        "folder of a PostgreSQL made for this system, or set DATABASE_URL.",
      cause,
    );
  } finally {
    await logFile.close();
  }
}

/** Source: `postmaster.pid` of PostgreSQL ≥ 10: its number in line 1, its state in line 8. pg_ctl waits this way too. */
async function isReady(cluster: string, pid: number): Promise<boolean> {
  const lines = (await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}

/** Asks a postmaster for a fast shutdown: clients are cut off, everything is written. */
export async function fastStop(pid: number, binaries: Binaries, cluster: string): Promise<void> {
  if (process.platform === "win32") {
    await promisify(execFile)(binaries.pgCtl, ["stop", "-D", cluster, "-m", "fast"]); // no such signal there
    return;
  }
  try {
    process.kill(pid, "SIGINT");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // ESRCH: it has just ended
  }
}
