/** The system user that PostgreSQL runs as, and what that user can reach. PostgreSQL refuses root. */
import { spawn } from "node:child_process";
import { lstat, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { EmbeddedPostgresError } from "./error.ts";

/** Undefined: PostgreSQL runs as the user who runs this process. */
export type RunAs = { name: string; uid: number; gid: number } | undefined;

/**
 * Chooses the user. Only root has a choice: the owner of an existing cluster, else `postgres`, else `nobody`.
 *
 * @param cluster the folder with PostgreSQL's files; may be absent
 * @throws EmbeddedPostgresError when nobody fits, or the cluster belongs to someone else
 */
export async function chooseUser(cluster: string): Promise<RunAs> {
  const uid = process.getuid?.();
  const found = await stat(cluster).catch(() => undefined);
  if (uid === undefined) return undefined; // Windows
  if (uid !== 0) {
    if (found === undefined || found.uid === uid) return undefined;
    throw new EmbeddedPostgresError(
      `The database in ${cluster} belongs to user ${found.uid}, and this process runs as user ${uid}. ` +
        "Start it as that user, or name another folder in CALLBOARD_DATA_DIR.",
    );
  }
  const users = parsePasswd(await readFile("/etc/passwd", "utf8").catch(() => ""));
  if (found !== undefined && found.uid !== 0) {
    const name = users.find((user) => user.uid === found.uid)?.name ?? String(found.uid);
    return { name, uid: found.uid, gid: found.gid };
  }
  const user = users.find(({ name }) => name === "postgres") ?? users.find(({ name }) => name === "nobody");
  if (user !== undefined) return user;
  throw new EmbeddedPostgresError(
    "PostgreSQL refuses to run as root, and this system has no user postgres and no user nobody to run it as. " +
      "Start the server as an ordinary user, or set DATABASE_URL to an existing database.",
  );
}

/** Lines of passwd(5). */
function parsePasswd(text: string): { name: string; uid: number; gid: number }[] {
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    if (name === undefined || uid === undefined || gid === undefined || uid === "" || gid === "") return [];
    return [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }]; // macOS writes nobody as -2
  });
}

/**
 * The first folder on the way to `path` that the user cannot enter, or `path` itself when it cannot be
 * entered or executed; undefined when all is well.
 *
 * A shell asks as that user, because mode bits alone do not tell of access lists. Without a shell the
 * answer is undefined, and PostgreSQL says itself what it cannot reach.
 */
export async function firstUnreachable(path: string, runAs: RunAs): Promise<string | undefined> {
  if (runAs === undefined) return undefined;
  const steps = [path];
  for (let at = dirname(path); at !== steps[0]; at = dirname(at)) steps.unshift(at);
  return new Promise((resolve) => {
    const script = 'for step do test -x "$step" || { printf %s "$step"; exit 1; }; done';
    const shell = spawn("/bin/sh", ["-c", script, "sh", ...steps], {
      uid: runAs.uid,
      gid: runAs.gid,
      cwd: "/",
      stdio: ["ignore", "pipe", "ignore"],
    });
    let found = "";
    shell.stdout.setEncoding("utf8").on("data", (text: string) => {
      found += text;
    });
    shell.on("error", () => resolve(undefined));
    shell.on("close", () => resolve(found === "" ? undefined : found));
  });
}

/** @throws EmbeddedPostgresError that names the folder, the user and the way out */
export async function requireReach(dataDir: string, runAs: RunAs): Promise<void> {
  const blocked = await firstUnreachable(dataDir, runAs);
  if (blocked === undefined || runAs === undefined) return;
  const mode = (await lstat(blocked).catch(() => undefined))?.mode;
  const shown = mode === undefined ? "" : ` (mode ${(mode & 0o7777).toString(8).padStart(4, "0")})`;
  throw new EmbeddedPostgresError(
    `PostgreSQL cannot use the data folder ${dataDir}: it refuses root, so it runs as the system user ` +
      `${runAs.name}, who may not enter ${blocked}${shown}. Choose a folder that this user can reach, ` +
      "for instance CALLBOARD_DATA_DIR=/var/lib/callboard, or start the server as an ordinary user, " +
      "or set DATABASE_URL to an existing database.",
  );
}
