/** Everything a recovery test works with: a database, a scripted model, server processes, agents, a caller. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Agent, AgentConfigInput, Run, ThreadAnswer } from "@callboard/protocol";
import { createTestDatabase } from "../../../packages/server/src/testing/database.ts";
import { Api } from "./api.ts";
import { ModelServer, type Script } from "./model.ts";
import { bin, ServerProcess } from "./server-process.ts";

export type FleetOptions = {
  /** Server processes. Default 2. */
  count?: number;
  scripts: Record<string, Script>;
  /** By slug, those that are called first; the model is the slug. */
  agents: Record<string, Pick<AgentConfigInput, "tools" | "agents" | "limits">>;
  env?: Record<string, string>;
  /** A database of the test's own; it is not removed. Default: a fresh one of the test run. */
  databaseUrl?: string;
};

export type LedgerEntry = { tool: string; call_id: string; key: string; pid: number };

export class Fleet {
  readonly servers: readonly ServerProcess[];
  readonly model: ModelServer;
  readonly api: Api;
  readonly databaseUrl: string;
  readonly #agents = new Map<string, string>();
  readonly #ledger: string;
  readonly #cleanUp: Array<() => Promise<unknown>>;
  #reviving = false;

  private constructor(
    servers: ServerProcess[],
    model: ModelServer,
    token: string,
    databaseUrl: string,
    ledger: string,
    cleanUp: Array<() => Promise<unknown>>,
  ) {
    this.servers = servers;
    this.model = model;
    this.api = new Api(servers, token);
    this.databaseUrl = databaseUrl;
    this.#ledger = ledger;
    this.#cleanUp = cleanUp;
  }

  /** Starts everything; on failure nothing is left running. */
  static async start(options: FleetOptions): Promise<Fleet> {
    const cleanUp: Array<() => Promise<unknown>> = [];
    try {
      return await Fleet.#start(options, cleanUp);
    } catch (error) {
      await runAll(cleanUp);
      throw error;
    }
  }

  static async #start(options: FleetOptions, cleanUp: Array<() => Promise<unknown>>): Promise<Fleet> {
    const folder = await mkdtemp(join(tmpdir(), "callboard-crash-"));
    cleanUp.push(() => rm(folder, { recursive: true, force: true }));
    let { databaseUrl } = options;
    if (databaseUrl === undefined) {
      const database = await createTestDatabase();
      cleanUp.push(() => database.drop());
      databaseUrl = database.url;
    }
    const model = new ModelServer(options.scripts);
    await model.listen();
    cleanUp.push(() => model.close());

    const ledger = join(folder, "ledger.jsonl");
    const env = {
      DATABASE_URL: databaseUrl,
      CALLBOARD_SECRET_KEY: Buffer.alloc(32, 7).toString("base64"),
      CALLBOARD_ALLOW_PRIVATE_NETWORK: "1",
      CALLBOARD_PROJECT: join(import.meta.dirname, "../project"),
      CALLBOARD_DATA_DIR: folder,
      CRASH_LEDGER: ledger,
      ...options.env,
    };
    const init = ["admin", "init", "--email", "ada@example.com", "--organization", "Crash", "--json"];
    const made = await promisify(execFile)(process.execPath, [bin, ...init], { env: { ...process.env, ...env } });
    const { token } = JSON.parse(made.stdout) as { token: string };

    const servers: ServerProcess[] = [];
    for (let i = 0; i < (options.count ?? 2); i++) servers.push(await ServerProcess.onFreePort(env));
    cleanUp.push(async () => {
      await Promise.all(servers.map((server) => server.kill()));
      await keepOutput(servers);
    });
    await Promise.all(servers.map((server) => server.start()));

    const fleet = new Fleet(servers, model, token, databaseUrl, ledger, cleanUp);
    await fleet.#prepare(options.agents);
    return fleet;
  }

  async #prepare(agents: FleetOptions["agents"]): Promise<void> {
    const connection = { slug: "scripted", kind: "openai-compatible", base_url: this.model.baseUrl };
    await this.api.send("POST", "/model-connections", { ...connection, default_model: "none", is_default: true });
    for (const [slug, more] of Object.entries(agents)) {
      const draft: AgentConfigInput = { name: slug, model: { id: slug }, ...more };
      const { id } = await this.api.send<Agent>("POST", "/agents", { slug, draft });
      await this.api.send("POST", `/agents/${id}/publish`);
      this.#agents.set(slug, id);
    }
  }

  /** The process at a place. */
  server(index: number): ServerProcess {
    return this.servers[index] as ServerProcess;
  }

  /** Opens a thread with a run, trying until a process acknowledges it. */
  async startRun(agent: string, on?: ServerProcess): Promise<{ threadId: string; runId: string }> {
    const body = { input: { type: "user.message", text: "Go." } };
    const answer = await this.api.insist<ThreadAnswer>("POST", `/agents/${this.#agents.get(agent)}/threads`, body, on);
    return { threadId: answer.thread.id, runId: (answer.run as Run).id };
  }

  /** What the tools really did. */
  async ledger(): Promise<LedgerEntry[]> {
    const text = await readFile(this.#ledger, "utf8").catch(() => "");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LedgerEntry);
  }

  /** From now on a process that ends is started again, as a supervisor does. */
  revive(): void {
    this.#reviving = true;
    for (const server of this.servers) void this.#watch(server);
  }

  async #watch(server: ServerProcess): Promise<void> {
    while (this.#reviving) {
      await server.ended;
      // One that dies while it starts is started again like any other.
      if (this.#reviving) await server.start().catch(() => undefined);
    }
  }

  /** Ends everything that was started. */
  async end(): Promise<void> {
    this.#reviving = false;
    await runAll(this.#cleanUp);
  }
}

/** With CRASH_OUTPUT, a folder, what the processes logged is kept there under their ports. */
async function keepOutput(servers: readonly ServerProcess[]): Promise<void> {
  const keep = process.env.CRASH_OUTPUT;
  if (keep === undefined) return;
  await mkdir(keep, { recursive: true });
  await Promise.all(servers.map((server) => writeFile(join(keep, `${server.port}.log`), server.output)));
}

/** In reverse order; one failure does not keep the others from being ended. */
async function runAll(cleanUp: ReadonlyArray<() => Promise<unknown>>): Promise<void> {
  const failures: unknown[] = [];
  for (const step of cleanUp.toReversed()) await step().catch((error) => failures.push(error));
  if (failures.length > 0) throw new AggregateError(failures, "not everything could be ended");
}
