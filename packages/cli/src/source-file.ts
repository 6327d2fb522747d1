/** Files of source that commands write. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError } from "./errors.ts";

export type Saved = { file: string; outcome: "created" | "updated" | "unchanged" | "outdated" };

/**
 * Writes the file, if it does not say the same already.
 *
 * @param force also over a file that says something else
 * @throws UsageError when there is such a file and no `force`
 */
export async function save(file: string, source: string, force: boolean): Promise<Saved> {
  const before = await readIfThere(file);
  if (before === source) return { file, outcome: "unchanged" };
  if (before !== undefined && !force) throw new UsageError(`${file} says something else; --force writes over it`);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, source);
  return { file, outcome: before === undefined ? "created" : "updated" };
}

export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
