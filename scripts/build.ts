/**
 * `npm run build`: makes `packages/<name>/dist`, a folder that `npm publish` takes as it is.
 *
 *   packages/kit/                    packages/kit/dist/
 *     package.json  exports .ts  ──▶   package.json  exports .js and .d.ts
 *     src/*.ts                   ──▶   src/*.js, src/*.d.ts
 *     bin/, README.md, …         ──▶   the same
 *
 * In the repository nothing uses these folders: there Node runs the TypeScript itself. See decision 011.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..");
const tsc = join(root, "node_modules/typescript/bin/tsc");

/** In the order in which they know each other. */
export const published = ["protocol", "kit", "client", "server", "cli", "create-callboard"] as const;

/** What is not compiled and goes along: SQL, a template, what starts a program. */
const along = /\.sql$|^(bin|template)\/|^README\.md$/;
const notAlong = /(^|\/)(node_modules|dist)\//;

/** @param folderOf where a package is put; what was there goes */
export async function build(folderOf: (name: string) => string): Promise<void> {
  const emitted = await mkdtemp(join(tmpdir(), "callboard-build-"));
  try {
    await compile(emitted);
    for (const name of published) await assemble(name, join(emitted, name), folderOf(name));
  } finally {
    await rm(emitted, { recursive: true, force: true });
  }
}

async function compile(into: string): Promise<void> {
  const args = [tsc, "--project", join(root, "tsconfig.build.json"), "--outDir", into];
  await promisify(execFile)(process.execPath, args, { cwd: root }).catch((error: { stdout: string }) => {
    throw new Error(`the packages do not compile:\n${error.stdout}`);
  });
}

async function assemble(name: string, emitted: string, folder: string): Promise<void> {
  const source = join(root, "packages", name);
  await rm(folder, { recursive: true, force: true });
  await cp(emitted, folder, { recursive: true });
  for (const path of await files(source)) {
    if (!along.test(path) || notAlong.test(path)) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await cp(join(source, path), join(folder, path));
  }
  for (const path of await files(folder)) {
    // The compiler leaves the endings in declarations as they are.
    if (path.endsWith(".d.ts")) await change(join(folder, path), withJsEndings);
  }
  const manifest = JSON.parse(await readFile(join(source, "package.json"), "utf8"));
  const made = {
    ...publishedManifest(manifest),
    files: (await readdir(folder)).filter((entry) => !entry.includes(".")),
  };
  await writeFile(join(folder, "package.json"), `${JSON.stringify(made, null, 2)}\n`);
}

const withJsEndings = (text: string): string => text.replace(/((?:from|import\()\s*"\.[^"]*)\.ts"/g, '$1.js"');

type Manifest = { exports?: Record<string, string>; [field: string]: unknown };

/** Without what only the repository needs, and with exports that are there. */
function publishedManifest({ private: _, devDependencies: __, exports, ...rest }: Manifest): Manifest {
  const js = (path: string) => path.replace(/\.ts$/, ".js");
  const entries = Object.entries(exports ?? {}).map(([name, path]) => [
    name,
    { types: path.replace(/\.ts$/, ".d.ts"), default: js(path) },
  ]);
  return {
    ...rest,
    ...(exports === undefined ? {} : { exports: Object.fromEntries(entries) }),
    publishConfig: { access: "public" },
  };
}

async function change(file: string, how: (text: string) => string): Promise<void> {
  await writeFile(file, how(await readFile(file, "utf8")));
}

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}

if (import.meta.main) {
  await build((name) => join(root, "packages", name, "dist"));
  process.stdout.write(`built ${published.map((name) => `packages/${name}/dist`).join(", ")}\n`);
}
