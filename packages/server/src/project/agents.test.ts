import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAgents } from "./agents.ts";

const kit = pathToFileURL(join(import.meta.dirname, "../../../kit/src/index.ts")).href;
const agentText = (definition: string) =>
  `import { defineAgent } from ${JSON.stringify(kit)};\nexport default defineAgent(${definition} as never);`;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "callboard-agents-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function project(name: string, files: Record<string, string>): Promise<string> {
  const folder = join(root, name);
  await mkdir(join(folder, "agents"), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, "agents", file), text);
  return folder;
}

describe("agents in files", () => {
  test("are named after their files, in their order, with all defaults filled in", async () => {
    const folder = await project("good", {
      "triage.ts": agentText(`{ name: "Triage", tools: ["search", { name: "refund", approval: "always" }] }`),
      "private.ts": agentText(`{ name: "Private", access_mode: "invited", api_access: false }`),
      "triage.test.ts": "throw new Error('a test is no agent');",
      "notes.md": "No agent.",
    });
    const agents = await loadAgents(folder);
    expect(agents.map(({ slug, access_mode, api_access }) => [slug, access_mode, api_access])).toEqual([
      ["private", "invited", false],
      ["triage", "organization", true],
    ]);
    expect(agents[1]?.draft).toMatchObject({
      name: "Triage",
      instructions: "",
      tools: [
        { name: "search", approval: "never" },
        { name: "refund", approval: "always" },
      ],
      limits: { max_steps: 32 },
    });
  });

  test("may be none", async () => {
    expect(await loadAgents(join(root, "not-there"))).toEqual([]);
  });

  test("that cannot be loaded are all named, each with its reason", async () => {
    const folder = await project("bad", {
      "nameless.ts": agentText(`{ instructions: "Hm." }`),
      "misspelled.ts": agentText(`{ name: "X", instruction: "Hm." }`),
      "other.ts": "export default 7;",
      "throws.ts": "throw new Error('not today');",
      "good.ts": agentText(`{ name: "Good" }`),
    });
    const error = await loadAgents(folder).then(
      () => new Error("they loaded"),
      (cause: Error) => cause,
    );
    const lines = error.message.split("\n");
    expect(lines[0]).toBe("agents could not be loaded:");
    expect(lines).toHaveLength(5);
    const reasonOf = (file: string) => lines.find((line) => line.includes(file));
    expect(reasonOf("nameless.ts")).toMatch(/name/);
    expect(reasonOf("misspelled.ts")).toMatch(/instruction/);
    expect(reasonOf("other.ts")).toContain("the default export must be defineAgent({…})");
    expect(reasonOf("throws.ts")).toContain("not today");
    expect(reasonOf("good.ts")).toBeUndefined();
  });
});
