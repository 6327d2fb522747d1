/**
 * The tools of a project: `tools/*.ts` with one default export each. Trusted code, like any server code.
 *
 * With `reload` they are loaded anew when a file has changed: one with an error keeps the tool it was before, and the
 * log says why.
 */
import { readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { AgentFile, Tool } from "@callboard/kit";
import { freshImporter, type Importer, notLoaded, sharedImporter, stampOf, whyNotLoaded } from "../config/index.ts";
import { errorFacts, type Logger } from "../log/index.ts";
import { requireToolDefinition } from "./definition.ts";
import { type LoadedTool, loadedTool } from "./loaded.ts";

type Problem = { name: string; path: string; error: unknown };

export class ProjectTools {
  readonly #folder: string;
  readonly #reload: boolean;
  readonly #log: Logger;
  #tools: ReadonlyMap<string, LoadedTool> = new Map();
  readonly #slugs = new WeakMap<AgentFile, string>();
  #importer: Importer = sharedImporter();
  #stamp = "";
  #loading: Promise<void> | undefined;

  private constructor(folder: string, reload: boolean, log: Logger) {
    this.#folder = folder;
    this.#reload = reload;
    this.#log = log;
  }

  /** @throws an error that names every file that could not be loaded, and why */
  static async load(folder: string, reload: boolean, log: Logger): Promise<ProjectTools> {
    const project = new ProjectTools(await realpath(folder).catch(() => folder), reload, log);
    const problems = await project.#load();
    if (problems.length === 0) return project;
    throw notLoaded(
      "tools",
      problems.map(({ path, error }) => whyNotLoaded(path, error)),
    );
  }

  /** Looks for changed files, if this server reloads. */
  async refresh(): Promise<void> {
    if (!this.#reload) return;
    this.#loading ??= this.#loadChanged().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  get(name: string): LoadedTool | undefined {
    return this.#tools.get(name);
  }

  all(): Iterable<LoadedTool> {
    return this.#tools.values();
  }

  /** The slug of an agent that is the default export of a file in `agents/`, as these tools import it. */
  slugOf(agent: AgentFile): string | undefined {
    return this.#slugs.get(agent);
  }

  async #loadChanged(): Promise<void> {
    if ((await this.#look()) === this.#stamp) return;
    for (const { path, name, error } of await this.#load()) {
      const facts = { why: whyNotLoaded(path, error), still_serving: this.get(name) !== undefined };
      this.#log.error({ file: path, ...facts, error: errorFacts(error) }, "a tool has an error");
    }
  }

  /** Loads what can be loaded; a tool whose file cannot is what it was before. */
  async #load(): Promise<Problem[]> {
    const startedMs = Date.now();
    const importer = this.#reload ? freshImporter(this.#folder) : sharedImporter();
    const tools = new Map<string, LoadedTool>();
    const problems: Problem[] = [];
    for (const file of await filesIn(join(this.#folder, "tools"))) {
      const path = join(this.#folder, "tools", file);
      const name = withoutEnding(file);
      try {
        if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) throw new Error("the file's name must be like search_tickets.ts");
        const module = (await importer.import(path)) as { default?: Tool };
        if (module.default?.kind !== "tool") throw new Error("the default export must be defineTool({…})");
        requireToolDefinition(module.default.definition);
        tools.set(name, loadedTool(name, module.default));
      } catch (error) {
        problems.push({ name, path, error });
        const before = this.#tools.get(name);
        if (before !== undefined) tools.set(name, before);
      }
    }
    await this.#loadAgents(importer);
    this.#tools = tools;
    this.#importer = importer;
    if (this.#reload) this.#stamp = await this.#look(startedMs);
    return problems;
  }

  /** The same modules that the tools import; a file with an error is named where agents are loaded. */
  async #loadAgents(importer: Importer): Promise<void> {
    const folder = join(this.#folder, "agents");
    for (const file of await filesIn(folder)) {
      const module = (await importer.import(join(folder, file)).catch(() => ({}))) as { default?: AgentFile };
      if (module.default?.kind === "agent") this.#slugs.set(module.default, withoutEnding(file));
    }
  }

  async #look(startedMs?: number): Promise<string> {
    const folder = join(this.#folder, "tools");
    const files = (await filesIn(folder)).map((file) => join(folder, file));
    return stampOf(files, this.#importer, startedMs);
  }
}

const withoutEnding = (file: string): string => file.replace(/\.(ts|js|mjs)$/, "");

async function filesIn(folder: string): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /^[^.].*\.(ts|js|mjs)$/.test(name) && !/\.(test|d)\./.test(name)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
