/** A project's folder, made from the template. */
import { cp, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

const template = join(import.meta.dirname, "../template");
const own = join(import.meta.dirname, "../package.json");

/** Names that npm gives its own meaning. */
const reserved = new Set(["node_modules", "favicon.ico", "callboard", "create-callboard"]);

/** The project cannot be made there; the message says why. */
export class ProjectProblem extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ProjectProblem";
  }
}

/**
 * Writes the project. Its name is the folder's.
 *
 * @throws ProjectProblem before anything is written: for a name that is none of a package, and for a folder
 *   with files in it
 */
export async function createProject(folder: string): Promise<void> {
  const name = basename(folder);
  const problem = nameProblem(name);
  if (problem !== undefined) throw new ProjectProblem(problem);
  const there = await entries(folder);
  if (there.length > 0) {
    const some = there.slice(0, 3).join(", ");
    throw new ProjectProblem(`${folder} is not empty: it has ${some}${there.length > 3 ? ", …" : ""}`);
  }
  await mkdir(folder, { recursive: true });
  await cp(template, folder, { recursive: true });
  // npm leaves a file of this name out of a package.
  await rename(join(folder, "_gitignore"), join(folder, ".gitignore"));
  const { version } = JSON.parse(await readFile(own, "utf8")) as { version: string };
  for (const file of ["package.json", "README.md"]) {
    const text = await readFile(join(folder, file), "utf8");
    await writeFile(join(folder, file), text.replaceAll("{{name}}", name).replaceAll("{{version}}", version));
  }
}

/** Why it is no name for a package, with one that would do; undefined when it is one. */
export function nameProblem(name: string): string | undefined {
  if (/^[a-z0-9][a-z0-9._-]{0,99}$/.test(name) && !reserved.has(name)) return undefined;
  const better = name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 100);
  const hint = better === "" || reserved.has(better) || better === name ? "my-desk" : better;
  return `${JSON.stringify(name)} is no name for a project: expected lower-case letters, digits, - . or _, like ${hint}`;
}

/** What is in the folder, a repository's own folder aside; nothing when it is not there. */
async function entries(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name !== ".git").sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    if (code === "ENOTDIR") throw new ProjectProblem(`${folder} is a file`);
    throw error;
  }
}
