/** A project folder for tests whose tools and agents are values of the test: its files only hand them over. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AgentDefinition, defineAgent, type Tool } from "@callboard/kit";

export type TestProject = { folder: string; remove(): Promise<void> };

/** Where the files find the values: modules on disk and the test share only the global object. */
const registry = new Map<string, unknown>();
const REGISTRY = "callboard.testing.project";
(globalThis as Record<symbol, unknown>)[Symbol.for(REGISTRY)] = registry;

/** Writes `tools/<name>.mjs` and `agents/<slug>.mjs`; an agent that names no model gets the model `<slug>`. */
export async function writeProject(
  tools: Record<string, Tool>,
  agents: Record<string, AgentDefinition>,
): Promise<TestProject> {
  const folder = await mkdtemp(join(tmpdir(), "callboard-test-project-"));
  const id = randomBytes(6).toString("hex");
  const keys: string[] = [];

  async function put(kind: "tools" | "agents", name: string, value: unknown): Promise<void> {
    const key = `${id}/${kind}/${name}`;
    registry.set(key, value);
    keys.push(key);
    const source = `export default globalThis[Symbol.for("${REGISTRY}")].get("${key}");\n`;
    await writeFile(join(folder, kind, `${name}.mjs`), source);
  }
  await mkdir(join(folder, "tools"));
  await mkdir(join(folder, "agents"));
  for (const [name, tool] of Object.entries(tools)) await put("tools", name, tool);
  for (const [slug, definition] of Object.entries(agents)) {
    await put("agents", slug, defineAgent({ ...definition, model: { id: slug, ...definition.model } }));
  }
  return {
    folder,
    async remove() {
      for (const key of keys) registry.delete(key);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
