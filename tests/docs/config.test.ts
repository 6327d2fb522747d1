/** The configuration that the guide shows is one that the server takes. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { readProjectFile } from "../../packages/server/src/config/project-file.ts";
import { read, root, section } from "./pages.ts";

test("the guide's callboard.config.ts is read without a problem", async () => {
  const text = section(read("docs/guide/tools-and-effects.md"), "Configuration: `callboard.config.ts`");
  const [, source = ""] = /```ts\n([\s\S]*?)```/.exec(text) ?? [];
  expect(source).toContain("defineConfig");
  const kit = pathToFileURL(join(root, "packages/kit/src/index.ts")).href;
  const folder = await mkdtemp(join(tmpdir(), "callboard-docs-"));
  await writeFile(join(folder, "callboard.config.ts"), source.replace("@callboard/kit", kit));
  process.env.SHOP_KEY = process.env.CRM_KEY = "key";
  try {
    const problems: string[] = [];
    const file = await readProjectFile(folder, (problem) => problems.push(problem));
    expect(problems).toEqual([]);
    expect(file.http.allow).toHaveLength(3);
    expect(Object.keys(file.mcpServers)).toEqual(["crm"]);
  } finally {
    delete process.env.SHOP_KEY;
    delete process.env.CRM_KEY;
    await rm(folder, { recursive: true, force: true });
  }
});
