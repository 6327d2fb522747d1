/** The endpoints of a project: `endpoints/**` with one default export each. Trusted code, like any server code. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { AgentFile, Endpoint, EndpointDefinition, JsonSchema } from "@callboard/kit";
import type { Importer } from "../config/index.ts";
import { describedSchema, listsIn } from "./described.ts";
import { compare, type Pattern, toPattern, toTemplate } from "./paths.ts";

/** Milliseconds of one call. */
const DEFAULT_TIMEOUT_MS = 300_000;
const MAX_TIMEOUT_MS = 12 * 3_600_000;
/** Readers of a job are noted once a second. */
const MIN_ABANDON_MS = 5000;

export type LoadedEndpoint = {
  /** The file below `endpoints/`, without its ending. */
  readonly name: string;
  readonly file: string;
  readonly pattern: Pattern;
  readonly template: string;
  readonly definition: EndpointDefinition;
  readonly timeoutMs: number;
  /** Its calls are jobs: at once, or when they turn out to take long. */
  readonly asJob: boolean;
  /** For the API's description; absent when nobody can make it. */
  readonly inputSchema: JsonSchema | undefined;
  readonly outputSchema: JsonSchema | undefined;
  /** Fields of the input that are lists: in a query they may be given more than once. */
  readonly lists: ReadonlySet<string>;
};

export type Loaded = {
  endpoints: LoadedEndpoint[];
  /** Which file of `agents/` an endpoint means. */
  slugs: ReadonlyMap<AgentFile, string>;
  /** Files that could not be loaded, and why. */
  problems: Array<{ name: string; file: string; error: unknown }>;
};

/** Loads what can be loaded. */
export async function loadFiles(folder: string, importer: Importer): Promise<Loaded> {
  const loaded: Loaded = { endpoints: [], slugs: await agentSlugs(folder, importer), problems: [] };
  for (const { name, file } of await endpointFiles(folder)) {
    try {
      const endpoint = toEndpoint(name, file, (await importer.import(file)) as { default?: Endpoint });
      const twin = loaded.endpoints.find(({ pattern }) => shapeOf(pattern) === shapeOf(endpoint.pattern));
      if (twin !== undefined) throw new Error(`${twin.file} has the same path`);
      loaded.endpoints.push(endpoint);
    } catch (error) {
      loaded.problems.push({ name, file, error });
    }
  }
  loaded.endpoints.sort((a, b) => compare(a.pattern, b.pattern));
  return loaded;
}

const shapeOf = (pattern: Pattern): string => toTemplate(pattern).replace(/\{\w+\}/g, "{}");

function toEndpoint(name: string, file: string, module: { default?: Endpoint }): LoadedEndpoint {
  if (module.default?.kind !== "endpoint") throw new Error("the default export must be defineEndpoint({…})");
  const { definition } = module.default;
  const { input, output, timeoutMs = DEFAULT_TIMEOUT_MS } = definition;
  for (const [field, schema] of Object.entries({ input, output })) {
    if (typeof schema?.["~standard"]?.validate !== "function") throw new Error(`${field} must be a Standard Schema`);
  }
  requireMs("timeoutMs", timeoutMs, 1);
  const { mode, answerWithinMs, abandonAfterMs } = definition;
  const asJob = mode === "polling" || answerWithinMs !== undefined;
  if (answerWithinMs !== undefined) {
    if (mode === "polling") throw new Error("answerWithinMs is for mode sync; polling answers at once");
    requireMs("answerWithinMs", answerWithinMs, 1);
  }
  if (abandonAfterMs !== undefined) {
    if (!asJob) throw new Error("abandonAfterMs is for jobs: mode polling, or sync with answerWithinMs");
    requireMs("abandonAfterMs", abandonAfterMs, MIN_ABANDON_MS);
  }
  const pattern = toPattern(name);
  const inputSchema = definition.inputJsonSchema ?? describedSchema(input, "input");
  return {
    name,
    file,
    pattern,
    template: toTemplate(pattern),
    definition,
    timeoutMs,
    asJob,
    inputSchema,
    outputSchema: definition.outputJsonSchema ?? describedSchema(output, "output"),
    lists: listsIn(inputSchema),
  };
}

function requireMs(field: string, ms: number, least: number): void {
  if (Number.isInteger(ms) && ms >= least && ms <= MAX_TIMEOUT_MS) return;
  throw new Error(`${field} is ${ms}; expected whole milliseconds from ${least} to ${MAX_TIMEOUT_MS}`);
}

async function agentSlugs(folder: string, importer: Importer): Promise<ReadonlyMap<AgentFile, string>> {
  const slugs = new Map<AgentFile, string>();
  for (const entry of await entries(join(folder, "agents"), false)) {
    try {
      const module = (await importer.import(join(folder, "agents", entry))) as { default?: AgentFile };
      if (module.default?.kind === "agent") slugs.set(module.default, withoutEnding(entry));
    } catch {
      // An endpoint that imports this file will say what is wrong with it.
    }
  }
  return slugs;
}

/** Files of endpoints; names that begin with `_` or `.` are not for serving. */
export async function endpointFiles(folder: string): Promise<Array<{ name: string; file: string }>> {
  const root = join(folder, "endpoints");
  return (await entries(root, true)).map((entry) => ({ name: withoutEnding(entry), file: join(root, entry) }));
}

const withoutEnding = (entry: string): string => entry.replace(/\.(ts|js|mjs)$/, "");

async function entries(folder: string, recursive: boolean): Promise<string[]> {
  try {
    return (await readdir(folder, { recursive, encoding: "utf8" }))
      .map((entry) => entry.replaceAll("\\", "/"))
      .filter((entry) => /\.(ts|js|mjs)$/.test(entry) && !/(^|\/)[._]|\.(test|d)\./.test(entry))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
