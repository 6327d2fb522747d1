/**
 * The endpoints this process serves now. With `reload`, whoever asks gets them as the files are at that moment:
 * a file that cannot be loaded keeps what it was before, and the log says why.
 */
import { realpath } from "node:fs/promises";
import type { AgentFile } from "@callboard/kit";
import { freshImporter, type Importer, notLoaded, sharedImporter, stampOf, whyNotLoaded } from "../config/index.ts";
import { errorFacts, type Logger } from "../log/index.ts";
import { endpointFiles, type LoadedEndpoint, loadFiles } from "./load.ts";
import { compare, isPath, matchPath, type Pattern, toPattern } from "./paths.ts";

export type RegistryOptions = { folder: string | null; reload: boolean; log: Logger };
export type Match = { endpoint: LoadedEndpoint; params: Record<string, string> };

export class EndpointRegistry {
  readonly #options: RegistryOptions;
  #endpoints: readonly LoadedEndpoint[] = [];
  #slugs = new WeakMap<AgentFile, string>();
  /** Files with an error that never served. */
  #broken: ReadonlyArray<{ name: string; pattern: Pattern }> = [];
  #importer: Importer = sharedImporter();
  #stamp = "";
  #loading: Promise<void> | undefined;
  /** Goes up when the endpoints change. */
  version = 0;

  private constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** @throws an error that names every file that could not be loaded, and why; not with `reload` */
  static async load(options: RegistryOptions): Promise<EndpointRegistry> {
    const folder = options.folder === null ? null : await realpath(options.folder).catch(() => options.folder);
    const registry = new EndpointRegistry({ ...options, folder });
    await registry.#load();
    return registry;
  }

  /** Looks for changed files, if this server reloads. */
  async refresh(): Promise<void> {
    if (!this.#options.reload || this.#options.folder === null) return;
    this.#loading ??= this.#loadChanged().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  /** The project's real path; empty without a project. */
  get folder(): string {
    return this.#options.folder ?? "";
  }

  list(): readonly LoadedEndpoint[] {
    return this.#endpoints;
  }

  get(name: string): LoadedEndpoint | undefined {
    return this.#endpoints.find((endpoint) => endpoint.name === name);
  }

  /** @param path of a URL, still encoded */
  match(path: string): Match | undefined {
    for (const endpoint of this.#endpoints) {
      const params = matchPath(endpoint.pattern, path);
      if (params !== undefined) return { endpoint, params };
    }
    return undefined;
  }

  /** The file that would answer for a path if it could be loaded. Only with `reload`. */
  brokenAt(path: string): string | undefined {
    return this.#broken.find(({ pattern }) => matchPath(pattern, path) !== undefined)?.name;
  }

  /** The slug of an agent that is the default export of a file in `agents/`. */
  slugOf(agent: AgentFile): string | undefined {
    return this.#slugs.get(agent);
  }

  async #loadChanged(): Promise<void> {
    const stamp = await this.#look();
    if (stamp !== this.#stamp) await this.#load();
  }

  async #load(): Promise<void> {
    const { folder, reload, log } = this.#options;
    if (folder === null) return;
    const startedMs = Date.now();
    const importer = reload ? freshImporter(folder) : sharedImporter();
    const { endpoints, slugs, problems } = await loadFiles(folder, importer);
    if (!reload && problems.length > 0) {
      throw notLoaded(
        "endpoints",
        problems.map(({ file, error }) => whyNotLoaded(file, error)),
      );
    }
    const broken: Array<{ name: string; pattern: Pattern }> = [];
    for (const { name, file, error } of problems) {
      const before = this.get(name);
      const facts = { why: whyNotLoaded(file, error), still_serving: before !== undefined };
      log.error({ file, ...facts, error: errorFacts(error) }, "an endpoint has an error");
      if (before !== undefined) endpoints.push(before);
      else if (isPath(name)) broken.push({ name, pattern: toPattern(name) });
    }
    this.#broken = broken;
    this.#endpoints = endpoints.sort((a, b) => compare(a.pattern, b.pattern));
    for (const [agent, slug] of slugs) this.#slugs.set(agent, slug);
    this.#importer = importer;
    this.version++;
    if (reload) this.#stamp = await this.#look(startedMs);
  }

  async #look(startedMs?: number): Promise<string> {
    const now = await endpointFiles(this.#options.folder as string);
    return stampOf(
      now.map(({ file }) => file),
      this.#importer,
      startedMs,
    );
  }
}
