/** The endpoints of a project: `endpoints/**` with one default export each. Trusted code, like any server code. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { AgentFile, Endpoint, EndpointDefinition, JsonSchema } from "@callboard/kit";
import type { Importer } from "../config/index.ts";
import { requireEndpointDefinition } from "./definition.ts";
import { describedSchema, listsIn } from "./described.ts";
import { compare, type Pattern, toPattern, toTemplate } from "./paths.ts";

/** Milliseconds of one call. */
const DEFAULT_TIMEOUT_MS = 300_000;

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
  requireEndpointDefinition(definition);
  const { mode, answerWithinMs, input, output, timeoutMs = DEFAULT_TIMEOUT_MS } = definition;
  const asJob = mode === "polling" || answerWithinMs !== undefined;
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
