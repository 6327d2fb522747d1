/** Project folders for tests, whose files import the packages as anybody's do. */
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

const modules = join(import.meta.dirname, "../../../../node_modules");

/** A folder with these files, which goes with the test. */
export async function projectFolder(files: Record<string, string> = {}): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "callboard-cli-project-")));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await symlink(modules, join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }\n');
  for (const [path, text] of Object.entries(files)) await put(folder, path, text);
  return folder;
}

export async function put(folder: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

/** The text of a file in `agents/`. */
export const agentText = (definition: object): string =>
  `import { defineAgent } from "@callboard/kit";\n\nexport default defineAgent(${JSON.stringify(definition, null, 2)});\n`;
