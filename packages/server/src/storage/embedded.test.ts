import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { packagedBinaries, platformPackage } from "./embedded/binaries.ts";
import { type EmbeddedPostgres, startPostgres } from "./embedded.ts";

const isRoot = process.getuid?.() === 0;
let temp: string;
let dataDir: string;
const started: EmbeddedPostgres[] = [];
const children: ChildProcess[] = [];

beforeAll(async () => {
  temp = await mkdtemp(join(tmpdir(), "callboard-embedded-"));
  await chmod(temp, 0o755);
  dataDir = join(temp, "data");
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const postgres of started.splice(0)) await postgres.stop();
});

afterAll(async () => {
  await rm(temp, { recursive: true, force: true });
});

async function start(options: Partial<Parameters<typeof startPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startPostgres({ dataDir, ...options });
  started.push(postgres);
  return postgres;
}

async function query(url: string, text: string): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query({ text, rowMode: "array" })).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

/** A server process in a process group of its own. The first line it prints: url, then PostgreSQL's number. */
async function startElsewhere(onInterrupt = ""): Promise<{ child: ChildProcess; url: string; pid: number }> {
  const script = `
    const { startPostgres } = await import(${JSON.stringify(new URL("./embedded.ts", import.meta.url).href)});
    const postgres = await startPostgres({ dataDir: ${JSON.stringify(dataDir)} });
    process.on("SIGINT", async () => { ${onInterrupt} });
    process.stdout.write(postgres.url + " " + postgres.pid + "\\n");
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = await once(child.stdout, "data");
  const [url, pid] = String(line).trim().split(" ");
  return { child, url: url as string, pid: Number(pid) };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "no error",
    (error: Error) => error.message,
  );
}

describe("a data folder", () => {
  test("gets a database that listens on the loopback address only and keeps its secrets closed", async () => {
    const lines: string[] = [];
    const { url } = await start({ log: (line) => lines.push(line) });
    expect(lines).toEqual([`making a new database in ${dataDir}`]);
    expect(await query(url, "select current_database(), current_user, current_setting('listen_addresses')")).toEqual([
      ["callboard", "callboard", "127.0.0.1"],
    ]);
    expect(await query(url, "show unix_socket_directories")).toEqual([[""]]);
    expect(Number(new URL(url).port)).toBeLessThan(32_768); // no outgoing connection of this machine gets that one
    expect((await stat(join(dataDir, "connection.json"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dataDir, "cluster"))).mode & 0o777).toBe(0o700);
    expect(await readdir(dataDir)).not.toContain("initdb-password");
    const wrong = url.replace(/:[0-9a-f]+@/, ":wrong@");
    expect(await failure(query(wrong, "select 1"))).toContain("password authentication failed");
  });

  test("keeps commits durable and takes settings over the defaults", async () => {
    const { url } = await start({ settings: { max_connections: "20" } });
    const names = ["fsync", "synchronous_commit", "full_page_writes", "max_connections", "jit", "wal_compression"];
    const shown = names.map((name) => `current_setting('${name}')`).join(", ");
    expect(await query(url, `select ${shown}`)).toEqual([["on", "on", "on", "20", "off", "pglz"]]);
  });

  test("remembers rows and address from start to start", async () => {
    const first = await start();
    await query(first.url, "create table kept as select 7 as n");
    await first.stop();
    expect(isAlive(first.pid)).toBe(false);
    expect(await readdir(dataDir)).not.toContain("owner.json");
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, "select n from kept")).toEqual([[7]]);
  });

  test("moves to another port when its own is taken, and refuses a wanted one that is taken", async () => {
    const first = await start();
    const port = Number(new URL(first.url).port);
    await first.stop();
    const other = createServer().listen(port, "127.0.0.1");
    await once(other, "listening");
    try {
      expect(await failure(startPostgres({ dataDir, port }))).toContain(`Port ${port} on 127.0.0.1 is taken`);
      const second = await start();
      expect(new URL(second.url).port).not.toBe(String(port));
      expect(await query(second.url, "select 1")).toEqual([[1]]);
    } finally {
      other.close();
      await once(other, "close");
    }
  });

  test("does not start with a setting that PostgreSQL refuses, and says what PostgreSQL said", async () => {
    expect(await failure(startPostgres({ dataDir, settings: { max_connections: "many" } }))).toMatch(
      /did not start on .*cluster[\s\S]*invalid value for parameter "max_connections"/,
    );
    expect(await readdir(dataDir)).not.toContain("owner.json");
  });
});

describe("ownership of a data folder", () => {
  test("is refused to a second start in the same process", async () => {
    const first = await start();
    expect(await failure(startPostgres({ dataDir }))).toContain(`is in use by process ${process.pid}`);
    expect(await query(first.url, "select 1")).toEqual([[1]]);
  });

  test("is refused to a second process, and the first goes on", async () => {
    const { child, url } = await startElsewhere();
    const message = await failure(startPostgres({ dataDir }));
    expect(message).toContain(`The data folder ${dataDir} is in use by process ${child.pid}`);
    expect(message).toContain("DATABASE_URL");
    expect(await query(url, "select 1")).toEqual([[1]]);
  });

  test("passes on after a kill: the PostgreSQL left behind is stopped and its rows are there", async () => {
    const { child, url, pid } = await startElsewhere();
    await query(url, "create table survived as select 8 as n");
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await query(url, "select n from survived")).toEqual([[8]]); // nobody stopped it
    const lines: string[] = [];
    const next = await start({ log: (line) => lines.push(line) });
    expect(lines).toEqual([expect.stringContaining(`PostgreSQL (process ${pid}) was left behind`)]);
    expect(next.pid).not.toBe(pid);
    expect(await query(next.url, "select n from survived")).toEqual([[8]]);
  });

  test("passes on after a kill of both the server and PostgreSQL", async () => {
    const { child, url, pid } = await startElsewhere();
    await query(url, "create table replayed as select 9 as n");
    process.kill(pid, "SIGKILL");
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await start();
    expect(await query(next.url, "select n from replayed")).toEqual([[9]]);
  });

  test("goes to exactly one of several that come after a kill", async () => {
    const { child } = await startElsewhere();
    child.kill("SIGKILL");
    await once(child, "exit");
    const results = await Promise.allSettled([start(), start(), start(), start()]);
    const won = results.filter((result) => result.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const result of results) {
      if (result.status === "rejected") expect(String(result.reason)).toContain(`in use by process ${process.pid}`);
    }
    expect(await query((won[0] as PromiseFulfilledResult<EmbeddedPostgres>).value.url, "select 1")).toEqual([[1]]);
  });

  test("does not stay with a number that now belongs to another process", async () => {
    const owner = { pid: process.pid, startedAt: "2026-01-01T00:00:00.000Z", mark: "an earlier process" };
    await writeFile(join(dataDir, "owner.json"), JSON.stringify(owner));
    await writeFile(join(dataDir, "cluster", "postmaster.pid"), `${process.pid}\n`);
    const { url } = await start();
    expect(await query(url, "select 1")).toEqual([[1]]);
  });

  test("is refused where another user has it, instead of waiting for ever", async () => {
    const foreign = join(temp, "foreign");
    await mkdir(foreign, { mode: 0o755 });
    await writeFile(join(foreign, "owner.json"), "{}", { mode: isRoot ? 0o600 : 0o000 });
    if (isRoot) process.seteuid?.(65534);
    const message = await failure(startPostgres({ dataDir: foreign })).finally(() => isRoot && process.seteuid?.(0));
    expect(message).toContain(`The data folder ${foreign} belongs to somebody else`);
  });

  test("ends when PostgreSQL ends by itself, so that it can be started again", async () => {
    const first = await start();
    const exit = new Promise((resolve) => first.onExit(resolve));
    process.kill(first.pid, "SIGKILL");
    expect(await exit).toEqual({ code: null, signal: "SIGKILL" });
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await query(second.url, "select n from kept")).toEqual([[7]]);
  });

  test("leaves PostgreSQL to the server when Ctrl-C reaches the whole process group", async () => {
    const { child, url, pid } = await startElsewhere(`
      process.stdout.write("interrupted\\n");
    `);
    process.kill(-(child.pid as number), "SIGINT");
    const [line] = await once(child.stdout as NodeJS.ReadableStream, "data");
    expect(String(line).trim()).toBe("interrupted");
    expect(await query(url, "select 1")).toEqual([[1]]);
    expect(isAlive(pid)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    await (await start()).stop(); // ends what was left behind
  });
});

describe("PostgreSQL's programs", () => {
  async function packageCopy(name: string): Promise<string> {
    const folder = join(temp, name);
    const links = await linkNames(platformPackage());
    await cp(platformPackage(), folder, {
      recursive: true,
      filter: (path) => !path.endsWith(".a") && !links.some((link) => path.endsWith(link)),
    });
    return folder;
  }

  async function linkNames(folder: string): Promise<string[]> {
    const links = JSON.parse(await readFile(join(folder, "native", "pg-symlinks.json"), "utf8"));
    return links.map((link: { target: string }) => link.target);
  }

  test("run although the package came without its library links", async () => {
    const folder = await packageCopy("unlinked");
    const [link] = await linkNames(folder);
    expect(await failure(lstat(join(folder, link as string)))).toContain("ENOENT");
    const { initdb } = await packagedBinaries(folder, temp, undefined);
    expect(initdb).toBe(join(folder, "native", "bin", "initdb"));
    const { stdout } = await promisify(execFile)(initdb, ["--version"]);
    expect(stdout).toContain("PostgreSQL");
    for (const name of await linkNames(folder)) expect((await lstat(join(folder, name))).isSymbolicLink()).toBe(true);
  });

  test.runIf(isRoot)("are copied to the data folder when PostgreSQL's user cannot get at the package", async () => {
    const home = join(temp, "home");
    await mkdir(home, { mode: 0o700 });
    const folder = await packageCopy("home/package");
    const nobody = { name: "nobody", uid: 65534, gid: 65534 };
    const copies = join(temp, "copies");
    await mkdir(copies);
    const { postgres } = await packagedBinaries(folder, copies, nobody);
    expect(postgres.startsWith(copies)).toBe(true);
    const { stdout } = await promisify(execFile)(postgres, ["--version"], { uid: 65534, gid: 65534, cwd: "/" });
    expect(stdout).toContain("PostgreSQL");
    const again = await packagedBinaries(folder, copies, nobody);
    expect(again.postgres).toBe(postgres);
    expect(await readdir(copies)).toHaveLength(1);
  });

  test("of the operator's own are named when they are not there", async () => {
    expect(await failure(startPostgres({ dataDir, binDir: join(temp, "nothing") }))).toContain(
      `There is no program ${join(temp, "nothing", "postgres")}`,
    );
  });
});

test.runIf(isRoot)(
  "a folder that PostgreSQL's user cannot reach is refused with folder, user and way out",
  async () => {
    const home = join(temp, "closed");
    await mkdir(home, { mode: 0o700 });
    const message = await failure(startPostgres({ dataDir: join(home, "data") }));
    expect(message).toContain(`cannot use the data folder ${join(home, "data")}`);
    expect(message).toMatch(/runs as the system user (postgres|nobody), who may not enter/);
    expect(message).toContain(`may not enter ${home} (mode 0700)`);
    expect(message).toContain("CALLBOARD_DATA_DIR=/var/lib/callboard");
  },
);
