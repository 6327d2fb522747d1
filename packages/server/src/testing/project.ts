/** A project folder for tests whose tools, agents and endpoints are values of the test: its files only hand them over. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  type AgentDefinition,
  type ConfigDefinition,
  defineAgent,
  defineConfig,
  type Endpoint,
  type Tool,
} from "@callboard/kit";

export type TestProject = { folder: string; remove(): Promise<void> };

/** Where the files find the values: modules on disk and the test share only the global object. */
const registry = new Map<string, unknown>();
const REGISTRY = "callboard.testing.project";
(globalThis as Record<symbol, unknown>)[Symbol.for(REGISTRY)] = registry;

export type TestProjectContent = {
  tools?: Record<string, Tool>;
  agents?: Record<string, AgentDefinition>;
  // biome-ignore lint/suspicious/noExplicitAny: endpoints of every schema
  endpoints?: Record<string, Endpoint<any, any>>;
  config?: ConfigDefinition;
};

/** Writes `tools/<name>.mjs` and the like; an agent that names no model gets the model `<slug>`. */
export async function writeProject(content: TestProjectContent): Promise<TestProject> {
  const { tools = {}, agents = {}, endpoints = {}, config } = content;
  const folder = await mkdtemp(join(tmpdir(), "callboard-test-project-"));
  const id = randomBytes(6).toString("hex");
  const keys: string[] = [];

  async function put(path: string, value: unknown): Promise<void> {
    const key = `${id}/${path}`;
    registry.set(key, value);
    keys.push(key);
    const source = `export default globalThis[Symbol.for("${REGISTRY}")].get("${key}");\n`;
    const file = join(folder, `${path}.mjs`);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, source);
  }
  for (const [name, tool] of Object.entries(tools)) await put(`tools/${name}`, tool);
  for (const [slug, definition] of Object.entries(agents)) {
    await put(`agents/${slug}`, defineAgent({ ...definition, model: { id: slug, ...definition.model } }));
  }
  for (const [name, endpoint] of Object.entries(endpoints)) await put(`endpoints/${name}`, endpoint);
  if (config !== undefined) await put("callboard.config", defineConfig(config));
  return {
    folder,
    async remove() {
      for (const key of keys) registry.delete(key);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
