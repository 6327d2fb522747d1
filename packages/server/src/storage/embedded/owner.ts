/**
 * Who may run PostgreSQL on a data folder.
 *
 *     owner.json names a living process     → refused
 *     owner.json names a dead process       → taken over; its PostgreSQL, if still up, is shut down first
 *     owner.json is absent                  → ours
 *
 * O1 A number alone does not name a process: numbers are given again, in containers nearly always the
 *    same one. The mark (boot and start time) decides.
 * O2 A PostgreSQL process is stopped only when its command line bears this folder's name.
 *
 * Not seen from here: a process on another machine, or in another container, that shares the folder.
 */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EmbeddedPostgresError } from "./error.ts";

const run = promisify(execFile);

type Owner = { pid: number; startedAt: string; mark: string };

/** The folder is ours until `release`, or until this process is gone. */
export type Claim = { release(): Promise<void> };

/** @throws EmbeddedPostgresError when a living process owns the folder, or it is not ours to read and write */
export async function claimFolder(dataDir: string): Promise<Claim> {
  const path = join(dataDir, "owner.json");
  const mark = (await markOf(process.pid)) ?? "";
  const me: Owner = { pid: process.pid, startedAt: new Date().toISOString(), mark };
  for (;;) {
    const file = await create(dataDir, path);
    if (file !== undefined) {
      await writeOwner(file, me);
      return { release: () => releaseFolder(path, me) };
    }
    await refuseLiving(dataDir, await readOwner(dataDir, path));
    if (await takeOver(dataDir, path, me)) return { release: () => releaseFolder(path, me) };
    await sleep(10); // another newcomer is at it: the next look finds its name
  }
}

/** A new file to write to; undefined when it is there already. */
function create(dataDir: string, path: string): Promise<FileHandle | undefined> {
  return open(path, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return undefined;
    throw new EmbeddedPostgresError(`The data folder ${dataDir} cannot be written to: ${error.message}`, error);
  });
}

/** How old the mark of a newcomer that died in the middle must be before it is cleared away. */
const STALE_MS = 5000;

/**
 * Puts our name in a dead owner's place. Of several newcomers one at a time may try, and looks again once it
 * may: the file itself is replaced in one step and is never absent in between.
 *
 * @returns false when it was another's turn
 * @throws EmbeddedPostgresError when a living process owns the folder by now
 */
async function takeOver(dataDir: string, path: string, me: Owner): Promise<boolean> {
  const turn = `${path}.turn`;
  const mark = await create(dataDir, turn);
  if (mark === undefined) {
    const since = await stat(turn).catch(() => undefined);
    if (since !== undefined && Date.now() - since.mtimeMs > STALE_MS) await rm(turn, { force: true });
    return false;
  }
  await mark.close();
  try {
    if ((await stat(path).catch(() => undefined)) === undefined) return false; // released: first come, first served
    await refuseLiving(dataDir, await readOwner(dataDir, path));
    const ours = `${path}.${randomBytes(6).toString("hex")}`;
    await writeOwner(await open(ours, "wx", 0o600), me);
    await rename(ours, path);
    return true;
  } finally {
    await rm(turn, { force: true });
  }
}

async function writeOwner(file: FileHandle, owner: Owner): Promise<void> {
  try {
    await file.writeFile(`${JSON.stringify(owner)}\n`);
  } finally {
    await file.close();
  }
}

async function releaseFolder(path: string, me: Owner): Promise<void> {
  const owner = await readOwner(dirname(path), path);
  if (owner?.pid === me.pid && owner.startedAt === me.startedAt) await rm(path, { force: true });
}

/**
 * The owner, or undefined when the file is gone or was never finished by a process that died.
 *
 * @throws EmbeddedPostgresError when it may not be read: it is another user's, who may well be there
 */
async function readOwner(dataDir: string, path: string): Promise<Owner | undefined> {
  for (let tries = 0; tries < 20; tries++) {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw new EmbeddedPostgresError(
        `The data folder ${dataDir} belongs to somebody else: ${error.message}. ` +
          "Start as that user, or name another folder in CALLBOARD_DATA_DIR.",
        error,
      );
    });
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as Owner;
    } catch {
      await sleep(10); // created by another process, written in a moment
    }
  }
  return undefined;
}

async function refuseLiving(dataDir: string, owner: Owner | undefined): Promise<void> {
  if (owner === undefined || (await markOf(owner.pid)) !== owner.mark) return;
  throw new EmbeddedPostgresError(
    `The data folder ${dataDir} is in use by process ${owner.pid}, since ${owner.startedAt}. ` +
      "Stop that process, or name another folder in CALLBOARD_DATA_DIR. " +
      "Several servers share one database through DATABASE_URL.",
  );
}

/** What tells a process from an earlier one with the same number; undefined when it does not live. */
async function markOf(pid: number): Promise<string | undefined> {
  if (process.platform === "linux") {
    const line = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (line === undefined) return undefined;
    // Source: proc_pid_stat(5). After the name in brackets: state is field 3, start time is field 22.
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
    return `${boot.trim()} ${fields[19]}`;
  }
  if (process.platform === "win32") return isAlive(pid) ? "alive" : undefined;
  const { stdout } = await run("ps", ["-o", "stat=,lstart=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  const [state, ...started] = stdout.trim().split(/\s+/);
  return state === undefined || state === "" || state.startsWith("Z") ? undefined : started.join(" ");
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** PostgreSQL's `cluster_name` for a folder. It stands in the command line of each of its processes. */
export function clusterName(dataDir: string): string {
  return `callboard-${createHash("sha256").update(dataDir).digest("hex").slice(0, 16)}`;
}

type Process = { pid: number; command: string };

async function processes(): Promise<Process[]> {
  if (process.platform === "win32") return [];
  if (process.platform !== "linux") {
    const { stdout } = await run("ps", ["-axo", "pid=,command="], { maxBuffer: 16 * 1024 * 1024 });
    return stdout.split("\n").map((line) => ({ pid: Number.parseInt(line, 10), command: line }));
  }
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  return Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return { pid: Number(pid), command: command.replaceAll("\0", " ") };
    }),
  );
}

/** The number in `postmaster.pid`, or undefined. */
async function lockedBy(cluster: string): Promise<number | undefined> {
  const text = await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return Number.isNaN(pid) ? undefined : pid;
}

/**
 * Shuts down what a dead owner left running on the folder. Call with the folder claimed.
 *
 * @param fastStop asks the postmaster with this number for a fast shutdown
 * @throws EmbeddedPostgresError when it does not end within a minute
 */
export async function stopOrphan(
  dataDir: string,
  cluster: string,
  fastStop: (pid: number) => Promise<void>,
  log: (line: string) => void,
): Promise<void> {
  const locked = await lockedBy(cluster);
  if (process.platform === "win32") {
    if (locked !== undefined && isAlive(locked)) await fastStop(locked);
    return;
  }
  const name = clusterName(dataDir);
  const ours = async () => (await processes()).filter(({ command }) => command.includes(name));
  const deadline = Date.now() + 60_000;
  let asked = false;
  for (let left = await ours(); left.length > 0; left = await ours()) {
    // Without its postmaster the others end by themselves.
    const postmaster = left.find(({ command }) => command.includes(`cluster_name=${name}`));
    if (!asked && postmaster !== undefined) {
      asked = true;
      log(`PostgreSQL (process ${postmaster.pid}) was left behind by a server that was killed; shutting it down`);
      await fastStop(postmaster.pid);
    }
    if (Date.now() > deadline) {
      const pids = left.map(({ pid }) => pid).join(", ");
      throw new EmbeddedPostgresError(
        `A PostgreSQL left behind on ${dataDir} does not end (process ${pids}). Stop it and start again.`,
      );
    }
    await sleep(20);
  }
  // PostgreSQL refuses to start when the number in its lock file lives, whatever program has it now.
  // Another PostgreSQL, started by hand on this folder, keeps its file.
  const other = (await processes()).find(({ pid }) => pid === locked);
  if (other !== undefined && !other.command.includes("postgres")) {
    await rm(join(cluster, "postmaster.pid"), { force: true });
  }
}
