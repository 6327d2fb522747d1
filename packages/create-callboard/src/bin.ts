/** Runs once: a name in, a project out. */
import { basename, relative, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { createProject, ProjectProblem } from "./create.ts";

const USUAL = "my-desk";
const HELP = `Usage: npm create callboard [folder]

Makes a Callboard project in a new folder: an agent, a tool, an endpoint and their tests.

Options:
  --yes   ask nothing; without a folder, take ${USUAL}
  --help  show this text

Exit codes: 0 done, 1 the project cannot be made there, 2 wrong usage.
`;

function readArguments() {
  const options = { yes: { type: "boolean", short: "y" }, help: { type: "boolean", short: "h" } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length > 1) throw new TypeError(`expected one folder; found ${positionals.join(" ")}`);
  return { ...values, folder: positionals[0] };
}

async function askFolder(): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`Name of the project (${USUAL}): `).finally(() => terminal.close());
  return answer.trim() === "" ? USUAL : answer.trim();
}

async function main(): Promise<void> {
  const { yes, help, folder: given } = readArguments();
  if (help) return void process.stdout.write(HELP);
  if (given === undefined && !yes && !process.stdin.isTTY) throw new TypeError("expected a folder, or --yes");
  const folder = resolve(given ?? (yes ? USUAL : await askFolder()));
  await createProject(folder);
  const path = relative(process.cwd(), folder);
  const enter = path === "" ? "" : `  cd ${/^[\w./-]+$/.test(path) ? path : JSON.stringify(path)}\n`;
  process.stdout.write(
    `Made ${basename(folder)} in ${folder}: an agent, a tool, an endpoint and a test.\n\nNext:\n\n${enter}  npm install\n  npm start\n\nREADME.md says what is where.\n`,
  );
}

try {
  await main();
} catch (error) {
  const isUsage = error instanceof TypeError;
  if (!isUsage && !(error instanceof ProjectProblem)) throw error;
  process.stderr.write(`create-callboard: ${error.message}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
