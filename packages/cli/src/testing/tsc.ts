/** The compiler, for tests of what is written as TypeScript. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const tsc = join(import.meta.dirname, "../../../../node_modules/typescript/bin/tsc");

const options = {
  target: "es2024",
  module: "nodenext",
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
};

/** What the compiler says of a folder's files, one line each; empty when they are right. */
export async function typeProblems(folder: string): Promise<string[]> {
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["**/*.ts"] }));
  const run = promisify(execFile)(process.execPath, [tsc, "--project", folder, "--pretty", "false"], { cwd: folder });
  const { stdout } = await run.catch((error: { stdout: string }) => error);
  return stdout.split("\n").filter((line) => line !== "");
}
