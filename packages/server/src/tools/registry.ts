/** The tools of this server: files of the operator's project and the built-in ones. Trusted code, like any server code. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { JsonSchema, Tool, ToolDefinition } from "@callboard/kit";
import type { ToolInfo } from "@callboard/protocol";
import type { ProjectFile } from "../config/index.ts";
import { documentTools } from "./documents.ts";
import { httpTools } from "./http.ts";
import { fileTools } from "./thread-files.ts";
import { workspaceTools } from "./workspace/index.ts";

export type LoadedTool = {
  readonly name: string;
  readonly definition: ToolDefinition;
  /** What the model is shown as the input's shape. */
  readonly inputSchema: JsonSchema;
};

export class ToolRegistry {
  readonly #tools = new Map<string, LoadedTool>();

  constructor(tools: Iterable<LoadedTool>) {
    for (const tool of tools) this.#tools.set(tool.name, tool);
  }

  get(name: string): LoadedTool | undefined {
    return this.#tools.get(name);
  }

  names(): ReadonlySet<string> {
    return new Set(this.#tools.keys());
  }

  list(): ToolInfo[] {
    return [...this.#tools.values()]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, definition, inputSchema }) => ({
        name,
        description: definition.description,
        effect: definition.effect,
        sensitive: isSensitive(definition),
        input_schema: inputSchema as ToolInfo["input_schema"],
      }));
  }
}

export type ToolSettings = {
  /** The project's folder; null for the built-in tools alone. */
  project: string | null;
  file: ProjectFile;
  allowPrivateNetwork: boolean;
};

/**
 * Loads `tools/*.ts` of a project beside the built-in tools.
 *
 * @throws an error that names every file that could not be loaded, and why
 */
export async function loadTools(settings: ToolSettings): Promise<ToolRegistry> {
  const { project: folder, file: config, allowPrivateNetwork: allowPrivate } = settings;
  const builtIn = {
    ...fileTools,
    ...documentTools,
    ...httpTools(config.http.allow, { allowPrivate }),
    ...workspaceTools(config.workspace),
  };
  const tools: LoadedTool[] = Object.entries(builtIn).map(([name, tool]) => loaded(name, tool));
  const problems: string[] = [];
  for (const file of folder === null ? [] : await toolFiles(join(folder, "tools"))) {
    const path = join(folder as string, "tools", file);
    const name = file.replace(/\.(ts|js|mjs)$/, "");
    try {
      if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) throw new Error("the file's name must be like search_tickets.ts");
      const module = (await import(pathToFileURL(path).href)) as { default?: Tool };
      if (module.default?.kind !== "tool") throw new Error("the default export must be defineTool({…})");
      tools.push(loaded(name, module.default));
    } catch (error) {
      problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (problems.length > 0) throw new Error(`tools could not be loaded:\n  ${problems.join("\n  ")}`);
  return new ToolRegistry(tools);
}

const isSensitive = ({ sensitive = false }: ToolDefinition): boolean =>
  typeof sensitive === "boolean" ? sensitive : sensitive.length > 0;

async function toolFiles(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /^[^.].*\.(ts|js|mjs)$/.test(name) && !/\.(test|d)\./.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function loaded(name: string, tool: Tool): LoadedTool {
  const { definition } = tool;
  const made =
    definition.inputJsonSchema ?? definition.input["~standard"].jsonSchema?.input({ target: "draft-2020-12" });
  if (made === undefined) {
    throw new Error("the input schema cannot be shown as JSON Schema; set inputJsonSchema beside it");
  }
  const { $schema: _, ...inputSchema } = made;
  return { name, definition, inputSchema };
}
