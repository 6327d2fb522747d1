/**
 * `npm run bench`: the work W1–W9 against this server and against the floors, in the same run.
 *
 * The server and its PostgreSQL have one core; the model and the load client share the other. A floor relays
 * the model's stream and stores one commit a run (`pg`) or nothing (`none`): what the machine can do when the
 * server does almost nothing. Absolute rates depend on the machine; the ratios are what is kept.
 *
 *   npm run bench [-- --only w1,w2 --secs 4 --out result.json]
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { startPostgres } from "../../packages/server/src/storage/embedded.ts";
import { AGENTS } from "./client/adapters/_agents.mjs";
import { report } from "./report.ts";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "w1,w2,w3,w4,w6,w8,w5,w9,w7" },
    secs: { type: "string", default: "4" },
    conc: { type: "string", default: "1,16,64" },
    idle: { type: "string", default: "1000" },
    floors: { type: "string", default: "pg,none" },
    out: { type: "string" },
  },
});
/** Ports that are free now, so that nothing else answers in a program's place. */
const PORTS = {
  model: await freePort(),
  floorPg: await freePort(),
  floorNone: await freePort(),
  server: await freePort(),
};
const cli = join(root, "packages/cli/bin/callboard.js");
const SERVE = ["--max-semi-space-size=32", cli, "serve"];
/** A server whose memory is measured: it collects its garbage when it is told to. */
const MEASURED = ["--import", join(here, "collect.mjs"), ...SERVE];
const children: ChildProcess[] = [];

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Starts a program on one core; resolves when its address answers. */
async function start(core: number, args: string[], env: Record<string, string>, url: string): Promise<ChildProcess> {
  const child = spawn("taskset", ["-c", String(core), process.execPath, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  children.push(child);
  for (let tries = 0; tries < 400; tries++) {
    if (child.exitCode !== null) throw new Error(`${args[0]} ended with code ${child.exitCode}`);
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return child;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${args[0]} does not answer at ${url}`);
}

const run = promisify(execFile);

/** One pass of the load client. @returns its results by work */
async function load(
  adapter: string,
  base: string,
  pids: Record<string, number>,
  more: string[],
): Promise<Record<string, unknown>> {
  const out = join(await mkdtemp(join(tmpdir(), "callboard-load-")), "result.json");
  const args = [
    ...["--adapter", join(here, "client/adapters", `${adapter}.mjs`), "--base", base, "--out", out],
    ...["--secs", options.secs, "--conc", options.conc, "--idle", options.idle],
    ...Object.entries(pids).flatMap(([name, pid]) => [`--${name}`, String(pid)]),
    ...more,
  ];
  if (!more.includes("--only")) args.push("--only", options.only);
  await run("taskset", ["-c", "1", process.execPath, join(here, "client/bench.mjs"), ...args], { maxBuffer: 1 << 26 });
  const text = await readFile(out, "utf8");
  await rm(dirname(out), { recursive: true });
  return (JSON.parse(text) as { results: Record<string, unknown> }).results;
}

/** An organization whose agents are the scenarios of the mock model. */
async function prepare(base: string, token: string): Promise<string[]> {
  const call = async (method: string, path: string, body?: unknown): Promise<{ id: string }> => {
    const answer = await fetch(`${base}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { id: string };
  };
  const base_url = `http://127.0.0.1:${PORTS.model}/v1`;
  await call("POST", "/model-connections", {
    slug: "mock",
    kind: "openai-compatible",
    base_url,
    default_model: "mock-t20",
    is_default: true,
  });
  const settings = ["--set", `token=${token}`];
  for (const [key, model] of Object.entries(AGENTS as Record<string, string>)) {
    const tools = key === "k3" ? [{ name: "lookup" }] : [];
    const draft = { name: key, instructions: "", model: { id: model }, tools, limits: { timeout_ms: 3_600_000 } };
    const { id } = await call("POST", "/agents", { slug: key, draft });
    await call("POST", `/agents/${id}/publish`);
    settings.push("--set", `agent.${key}=${id}`);
  }
  return settings;
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "callboard-bench-"));
  await chmod(folder, 0o711); // PostgreSQL's own user goes through it
  const postgres = await startPostgres({ dataDir: join(folder, "postgres") });
  await run("taskset", ["-a", "-c", "-p", "0", String(postgres.pid)]);
  try {
    const model = await start(
      1,
      [join(here, "mock-model.mjs")],
      { PORT: String(PORTS.model) },
      `http://127.0.0.1:${PORTS.model}/stats`,
    );
    const results: Record<string, Record<string, unknown>> = {};
    const dbpid = postgres.pid;
    const mockpid = model.pid as number;
    const modelUrl = `http://127.0.0.1:${PORTS.model}`;

    results.model = await load("raw", modelUrl, { mockpid }, ["--conc", "1"]);
    for (const floor of options.floors.split(",").filter(Boolean)) {
      const port = floor === "pg" ? PORTS.floorPg : PORTS.floorNone;
      const env = {
        PORT: String(port),
        STORE: floor,
        DB: postgres.url,
        MODEL_URL: modelUrl,
        PG_FROM: join(root, "packages/server/package.json"),
      };
      const child = await start(0, [join(here, "relay.mjs")], env, `http://127.0.0.1:${port}/`);
      results[`floor.${floor}`] = await load(
        "relay",
        `http://127.0.0.1:${port}`,
        { pid: child.pid as number, dbpid, mockpid },
        [],
      );
      child.kill("SIGTERM");
    }

    const env = {
      PORT: String(PORTS.server),
      DATABASE_URL: postgres.url,
      CALLBOARD_SECRET_KEY: Buffer.alloc(32, 7).toString("base64"),
      CALLBOARD_ALLOW_PRIVATE_NETWORK: "1",
      CALLBOARD_LOG_LEVEL: "warn",
      CALLBOARD_PROJECT: join(here, "project"),
      CALLBOARD_DATA_DIR: folder,
    };
    const init = await run(
      process.execPath,
      [cli, "admin", "init", "--email", "bench@example.com", "--organization", "Bench", "--json"],
      { env: { ...process.env, ...env } },
    );
    const { token } = JSON.parse(init.stdout) as { token: string };
    const base = `http://127.0.0.1:${PORTS.server}`;
    let server = await start(0, SERVE, env, `${base}/health`);
    const settings = await prepare(base, token);
    let pids = { pid: server.pid as number, dbpid, mockpid };
    const works = options.only.split(",").filter((work) => !["w5", "w7", "w9"].includes(work));
    results.callboard = await load("ours", base, pids, [...settings, "--only", works.join(",")]);
    if (options.only.includes("w1"))
      results.waiting = await load("ours-wait", base, pids, [...settings, "--only", "w1"]);
    for (const work of ["w5", "w9"]) {
      if (!options.only.includes(work)) continue;
      // Memory a stream or a job is measured in a process that has grown for nothing else.
      server.kill("SIGTERM");
      await once(server, "exit");
      const held = join(folder, "held");
      server = await start(0, MEASURED, { ...env, HELD_FILE: held }, `${base}/health`);
      pids = { ...pids, pid: server.pid as number };
      await load("ours", base, pids, [...settings, "--only", "w1"]);
      Object.assign(results.callboard, await load("ours", base, pids, [...settings, "--only", work, "--held", held]));
    }
    if (options.only.includes("w7")) {
      server.kill("SIGTERM");
      await once(server, "exit");
      const url = `${base}/health`;
      const command = ["taskset", "-c", "0", process.execPath, cli, "serve"];
      const args = [join(here, "client/coldstart.mjs"), "--url", url, "--n", "5", "--", ...command];
      const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...env } });
      results.coldStart = { w7: JSON.parse(stdout) };
    }
    process.stdout.write(report(results));
    if (options.out !== undefined) await writeFile(options.out, JSON.stringify(results, null, 1));
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
process.exit(0);
