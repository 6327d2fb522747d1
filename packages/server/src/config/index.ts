/** Settings from the environment and `callboard.config.ts`, checked at start; all problems are told at once. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { noProjectFile, type ProjectFile, readProjectFile } from "./project-file.ts";

export { aFunction, jsonSchema, requireDefinition, standardSchema } from "./definition.ts";
export type { HttpRule, LocalMcp, McpToolRule, ProjectFile, RemoteMcp, WorkspaceLimits } from "./project-file.ts";
export { noProjectFile } from "./project-file.ts";
export { freshImporter, type Importer, notLoaded, sharedImporter, stampOf, whyNotLoaded } from "./versions.ts";

export type Role = "all" | "api" | "worker";

export type Config = {
  host: string;
  port: number;
  /** Where people reach the server; undefined: where it listens. Without a slash at the end. */
  publicUrl: string | undefined;
  /** Proxies in front of the server that add to `X-Forwarded-For`. */
  proxies: number;
  /** How long sessions live, in minutes. */
  session: { idleMinutes: number; maxMinutes: number };
  /** Undefined: an embedded PostgreSQL in the data folder. */
  databaseUrl: string | undefined;
  dataDir: string;
  /** The folder with `agents/`, `tools/` and `endpoints/`; null for none. */
  project: string | null;
  /** Edited endpoints and tools take effect with the next request. */
  reload: boolean;
  role: Role;
  /** How long a stop may take, in milliseconds. */
  graceMs: number;
  /** Undefined: `dev` makes one in the data folder. */
  secretKey: string | undefined;
  allowPrivateNetwork: boolean;
  logLevel: string;
  /** Runs at once in this process. */
  runSlots: number;
  /** Pooled connections to PostgreSQL; four more are used beside the pool. */
  poolSize: number;
  maxFileBytes: number;
  /** A model may say nothing for so long, in milliseconds. */
  modelIdleMs: number;
  /** Bytes of one model answer. */
  maxModelBytes: number;
  /** Milliseconds before each word of the demo model. */
  demoDelayMs: number | undefined;
  postgresBin: string | undefined;
  /** Requests a minute of a token and of an organization that have no limit of their own; null for none. */
  requestsPerMinute: number | null;
  organizationRequestsPerMinute: number | null;
  /** Runs at once of an organization that has no limit of its own; null for none. */
  runsAtOnce: number | null;
  /** Failed authentications of one address a minute; 0 for no limit. */
  authFailuresPerMinute: number;
  /** The operator's own prices, by provider and model id, in micro-dollars per million tokens. */
  prices: Prices;
  /** Model connections of the local organization. */
  models: EnvModel[];
  /** What `callboard.config.ts` of the project says. */
  file: ProjectFile;
};

/** What models cost; `models/prices.ts` has the list prices. */
export type Prices = {
  [provider: string]: { [model: string]: { input: number; cachedInput?: number; output: number } };
};

/** A model connection that the environment describes. */
export type EnvModel = {
  slug: string;
  kind: "openai" | "anthropic" | "google" | "openai-compatible" | "demo";
  baseUrl: string | null;
  apiKey: string | null;
  model: string;
};

class ConfigError extends Error {
  readonly code = "config";
  constructor(problems: readonly string[]) {
    super(`the server cannot start:\n  ${problems.join("\n  ")}`);
    this.name = "ConfigError";
  }
}

type Env = Record<string, string | undefined>;

/**
 * The environment and the project's file.
 *
 * @throws ConfigError that names every wrong variable and field
 */
export async function loadConfig(env: Env, mode: "dev" | "serve"): Promise<Config> {
  const problems: string[] = [];
  const config = gather(env, mode, problems);
  config.file = await readProjectFile(config.project, (text) => problems.push(text));
  const told = Object.entries(config.file.mcpServers).find(([, server]) => "identity" in server && server.identity);
  if (told !== undefined && config.publicUrl === undefined && mode === "serve") {
    problems.push(
      `CALLBOARD_PUBLIC_URL is missing: the MCP server ${told[0]} is told by it who says for whom a call is`,
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/**
 * The environment alone.
 *
 * @throws ConfigError that names every wrong variable
 */
export function readConfig(env: Env, mode: "dev" | "serve"): Config {
  const problems: string[] = [];
  const config = gather(env, mode, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function gather(env: Env, mode: "dev" | "serve", problems: string[]): Config {
  const read = new Reader(env, problems);
  const config: Config = {
    host: read.text("HOST") ?? "127.0.0.1",
    port: read.integer("PORT", 4100, 0, 65_535),
    publicUrl: publicUrl(read),
    proxies: read.integer("CALLBOARD_PROXIES", 0, 0, 20),
    session: {
      idleMinutes: read.integer("CALLBOARD_SESSION_IDLE_MINUTES", 720, 5, 525_600),
      maxMinutes: read.integer("CALLBOARD_SESSION_MAX_MINUTES", 10_080, 5, 525_600),
    },
    databaseUrl: read.text("DATABASE_URL"),
    dataDir: resolve(read.text("CALLBOARD_DATA_DIR") ?? ".callboard"),
    project: project(read, mode),
    reload: mode === "dev",
    role: read.oneOf("CALLBOARD_ROLE", ["all", "api", "worker"], "all"),
    graceMs: read.integer("CALLBOARD_GRACE_MS", 10_000, 0, 600_000),
    secretKey: read.text("CALLBOARD_SECRET_KEY"),
    allowPrivateNetwork: read.flag("CALLBOARD_ALLOW_PRIVATE_NETWORK"),
    logLevel: read.oneOf(
      "CALLBOARD_LOG_LEVEL",
      ["debug", "info", "warn", "error", "silent"],
      mode === "dev" ? "warn" : "info",
    ),
    runSlots: read.integer("CALLBOARD_RUN_SLOTS", 2000, 1, 100_000),
    poolSize: read.integer("CALLBOARD_POOL_SIZE", 12, 2, 500),
    maxFileBytes: read.integer("CALLBOARD_MAX_FILE_BYTES", 64 * 1024 * 1024, 1, 4 * 1024 * 1024 * 1024),
    modelIdleMs: read.integer("CALLBOARD_MODEL_IDLE_MS", 120_000, 100, 3_600_000),
    maxModelBytes: read.integer("CALLBOARD_MAX_MODEL_BYTES", 8 * 1024 * 1024, 1024, 1024 * 1024 * 1024),
    demoDelayMs: read.has("CALLBOARD_DEMO_DELAY_MS")
      ? read.integer("CALLBOARD_DEMO_DELAY_MS", 15, 0, 10_000)
      : undefined,
    postgresBin: read.text("CALLBOARD_POSTGRES_BIN"),
    requestsPerMinute: limit(read.integer("CALLBOARD_REQUESTS_PER_MINUTE", 600_000, 0, MAX_LIMIT)),
    organizationRequestsPerMinute: limit(
      read.integer("CALLBOARD_ORGANIZATION_REQUESTS_PER_MINUTE", 1_200_000, 0, MAX_LIMIT),
    ),
    runsAtOnce: limit(read.integer("CALLBOARD_RUNS_AT_ONCE", 20_000, 0, MAX_LIMIT)),
    authFailuresPerMinute: read.integer("CALLBOARD_AUTH_FAILURES_PER_MINUTE", 3000, 0, MAX_LIMIT),
    prices: readPrices(read),
    models: envModels(read),
    file: noProjectFile,
  };
  if (mode === "serve" && config.databaseUrl === undefined) {
    problems.push("DATABASE_URL is missing: expected postgresql://user:password@host:port/database");
  }
  if (mode === "serve" && config.secretKey === undefined) {
    problems.push(
      "CALLBOARD_SECRET_KEY is missing: expected 32 bytes in base64, for instance from `openssl rand -base64 32`",
    );
  }
  if (config.databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(config.databaseUrl)) {
    problems.push("DATABASE_URL must start with postgresql://");
  }
  return config;
}

/** What shows that a folder is a project. */
const parts = ["agents", "tools", "endpoints", "callboard.config.ts"];

const MAX_LIMIT = 2_000_000_000;
const limit = (value: number): number | null => (value === 0 ? null : value);

function project(read: Reader, mode: "dev" | "serve"): string | null {
  const given = read.text("CALLBOARD_PROJECT");
  if (given !== undefined) {
    if (!existsSync(given)) read.problem(`CALLBOARD_PROJECT is ${given}: expected a folder; there is none`);
    return resolve(given);
  }
  if (mode === "serve") return null;
  return resolve(parts.some((part) => existsSync(part)) ? "." : "examples/support-desk");
}

function publicUrl(read: Reader): string | undefined {
  const text = read.text("CALLBOARD_PUBLIC_URL");
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return url.origin;
  read.problem(
    `CALLBOARD_PUBLIC_URL is ${text}: expected an address without a path, like https://callboard.example.com`,
  );
  return undefined;
}

/** In the order in which they are preferred as the default. */
function envModels(read: Reader): EnvModel[] {
  const model = read.text("CALLBOARD_MODEL");
  const found: EnvModel[] = [];
  const openAiKey = read.text("OPENAI_API_KEY");
  const openAiUrl = read.text("OPENAI_BASE_URL");
  if (openAiUrl !== undefined) {
    if (!URL.canParse(openAiUrl)) read.problem("OPENAI_BASE_URL is not an address");
    if (model === undefined) read.problem("CALLBOARD_MODEL is missing: with OPENAI_BASE_URL it names the model to use");
    const slug = "openai-compatible";
    found.push({ slug, kind: slug, baseUrl: openAiUrl, apiKey: openAiKey ?? null, model: model ?? "" });
  } else if (openAiKey !== undefined) {
    found.push({ slug: "openai", kind: "openai", baseUrl: null, apiKey: openAiKey, model: model ?? "gpt-5-mini" });
  }
  const anthropicKey = read.text("ANTHROPIC_API_KEY");
  if (anthropicKey !== undefined) {
    const baseUrl = read.text("ANTHROPIC_BASE_URL") ?? null;
    const first = found.length === 0;
    found.push({
      slug: "anthropic",
      kind: "anthropic",
      baseUrl,
      apiKey: anthropicKey,
      model: (first ? model : undefined) ?? "claude-sonnet-4-5",
    });
  }
  const googleKey = read.text("GEMINI_API_KEY") ?? read.text("GOOGLE_GENERATIVE_AI_API_KEY");
  if (googleKey !== undefined) {
    const first = found.length === 0;
    found.push({
      slug: "google",
      kind: "google",
      baseUrl: null,
      apiKey: googleKey,
      model: (first ? model : undefined) ?? "gemini-2.5-flash",
    });
  }
  found.push({ slug: "demo", kind: "demo", baseUrl: null, apiKey: null, model: "demo" });
  return found;
}

const priceFile = z.record(
  z.string(),
  z.record(
    z.string(),
    z.strictObject({ input: z.number().min(0), cachedInput: z.number().min(0).optional(), output: z.number().min(0) }),
  ),
);

/** The JSON file that `CALLBOARD_PRICES` names. */
function readPrices(read: Reader): Prices {
  const path = read.text("CALLBOARD_PRICES");
  if (path === undefined) return {};
  try {
    return priceFile.parse(JSON.parse(readFileSync(path, "utf8"))) as Prices;
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    read.problem(`CALLBOARD_PRICES names ${path}, which cannot be used: ${reason}`);
    return {};
  }
}

class Reader {
  readonly #env: Env;
  readonly #problems: string[];

  constructor(env: Env, problems: string[]) {
    this.#env = env;
    this.#problems = problems;
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  text(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === undefined || value === "" ? undefined : value;
  }

  has(name: string): boolean {
    return this.text(name) !== undefined;
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    this.problem(`${name} is ${text}: expected a whole number from ${min} to ${max}`);
    return fallback;
  }

  flag(name: string): boolean {
    const text = this.text(name);
    if (text === undefined || text === "0" || text === "false") return false;
    if (text === "1" || text === "true") return true;
    this.problem(`${name} is ${text}: expected 1 or 0`);
    return false;
  }

  oneOf<const T extends string>(name: string, values: readonly T[], fallback: T): T {
    const text = this.text(name);
    if (text === undefined) return fallback;
    if ((values as readonly string[]).includes(text)) return text as T;
    this.problem(`${name} is ${text}: expected ${values.join(", ")}`);
    return fallback;
  }
}
