import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silent, toolsOf } from "./fixture.ts";

/** Files of a project import the kit as an author's would; here by its place in this repository. */
const kit = pathToFileURL(join(import.meta.dirname, "../../../kit/src/index.ts")).href;
const toolText = (description: string, more = "") => `
  import { defineTool } from ${JSON.stringify(kit)};
  export default defineTool({
    description: ${JSON.stringify(description)},
    input: { "~standard": { version: 1, vendor: "own", validate: (value) => ({ value }) } },
    inputJsonSchema: { type: "object", $schema: "https://json-schema.org/draft/2020-12/schema" },
    effect: "read",
    ${more}
    run: () => "ok",
  });`;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "callboard-tools-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function project(name: string, files: Record<string, string>): Promise<string> {
  const folder = join(root, name);
  await mkdir(join(folder, "tools"), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, "tools", file), text);
  return folder;
}

const builtIn = ["documents_read", "documents_search", "list_files", "read_file", "workspace_run", "write_file"];

describe("a project's tools", () => {
  test("are there beside the built-in ones, named after their files", async () => {
    const folder = await project("good", {
      "search_tickets.ts": toolText("Searches.", "sensitive: true,"),
      "zip.mjs": toolText("Zips."),
      "search_tickets.test.ts": "throw new Error('a test is not a tool');",
      "types.d.ts": "export type X = 1;",
      "notes.md": "Not a tool.",
      ".hidden.ts": "throw new Error('hidden');",
    });
    const tools = await toolsOf(folder);
    const names = [...builtIn, "search_tickets", "zip"].sort();
    expect([...tools.names()].sort()).toEqual(names);
    expect(tools.get("search_tickets")?.definition.description).toBe("Searches.");
    expect(tools.get("nothing")).toBeUndefined();
    expect(tools.list().map(({ name }) => name)).toEqual(names);
    expect(tools.list().find(({ name }) => name === "search_tickets")).toEqual({
      name: "search_tickets",
      description: "Searches.",
      effect: "read",
      sensitive: true,
      input_schema: { type: "object" },
    });
  });

  test("may be none at all", async () => {
    expect([...(await toolsOf()).names()].sort()).toEqual(builtIn);
    expect([...(await toolsOf(join(root, "not-there"))).names()].sort()).toEqual(builtIn);
  });

  test("that cannot be loaded are all named, each with its reason", async () => {
    const folder = await project("bad", {
      "broken.ts": "export default {",
      "throws.ts": "throw new Error('no database here');",
      "empty.ts": "export const tool = 1;",
      "Wrong-Name.ts": toolText("Fine but for its name."),
      "shapeless.ts": toolText("No schema.").replace(/inputJsonSchema:.*\n/, "\n"),
      "open.ts": toolText("Asks nobody.", 'aproval: "always",'),
      "effects.ts": toolText("Does something.").replace('"read"', '"reads"'),
      "idle.ts": toolText("Does nothing.").replace('() => "ok"', "undefined"),
      "good.ts": toolText("Good."),
    });
    const error = await toolsOf(folder).then(
      () => new Error("it loaded"),
      (cause: Error) => cause,
    );
    const lines = error.message.split("\n");
    expect(lines[0]).toBe("tools could not be loaded:");
    const reasonOf = (file: string) => lines.find((line) => line.includes(join(folder, "tools", file)));
    expect(reasonOf("broken.ts")).toBeDefined();
    expect(reasonOf("throws.ts")).toContain("no database here");
    expect(reasonOf("empty.ts")).toContain("the default export must be defineTool({…})");
    expect(reasonOf("Wrong-Name.ts")).toContain("the file's name must be like search_tickets.ts");
    expect(reasonOf("shapeless.ts")).toContain("set inputJsonSchema beside it");
    expect(reasonOf("open.ts")).toMatch(/"aproval"/);
    expect(reasonOf("effects.ts")).toMatch(/effect: .*"idempotent"/);
    expect(reasonOf("idle.ts")).toContain("run: expected a function");
    expect(reasonOf("good.ts")).toBeUndefined();
  });
});

test("built-in tools show the model what they take", async () => {
  const tools = await toolsOf();
  expect(tools.get("read_file")?.inputSchema).toMatchObject({
    type: "object",
    properties: { file_id: { type: "string" }, offset: { type: "integer" } },
    required: ["file_id"],
    additionalProperties: false,
  });
  expect(tools.get("read_file")?.inputSchema).not.toHaveProperty("$schema");
});

describe("with reload", () => {
  const described = (tools: Awaited<ReturnType<typeof toolsOf>>, name: string) =>
    tools.get(name)?.definition.description;

  test("an edit of a tool is there after a look; a new file is, a removed one is not", async () => {
    const folder = await project("edited", { "a.ts": toolText("One.") });
    const tools = await toolsOf(folder, {}, { reload: true });
    const before = tools.get("a");
    await tools.refresh();
    expect(tools.get("a")).toBe(before);
    await writeFile(join(folder, "tools/a.ts"), toolText("Two."));
    await writeFile(join(folder, "tools/c.ts"), toolText("New."));
    expect(described(tools, "a")).toBe("One.");
    await Promise.all([tools.refresh(), tools.refresh()]);
    expect(["a", "c"].map((name) => described(tools, name))).toEqual(["Two.", "New."]);
    await rm(join(folder, "tools/c.ts"));
    await tools.refresh();
    expect(tools.names().has("c")).toBe(false);
  });

  test("a file with an error keeps the tool it was, and the log says why", async () => {
    const folder = await project("broken-later", { "a.ts": toolText("Good."), "b.ts": toolText("Beside.") });
    const errors: object[] = [];
    const log = { ...silent, error: (facts: object) => errors.push(facts) };
    const tools = await toolsOf(folder, {}, { reload: true, log });
    await writeFile(join(folder, "tools/a.ts"), "export default oops");
    await writeFile(join(folder, "tools/b.ts"), toolText("Edited."));
    await tools.refresh();
    expect(["a", "b"].map((name) => described(tools, name))).toEqual(["Good.", "Edited."]);
    expect(errors).toEqual([
      expect.objectContaining({ why: expect.stringContaining("tools/a.ts: "), still_serving: true }),
    ]);
    await writeFile(join(folder, "tools/a.ts"), toolText("Mended."));
    await tools.refresh();
    expect(described(tools, "a")).toBe("Mended.");
  });
});
