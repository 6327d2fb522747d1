/**
 * Secrets that a command is given: from standard input or the environment. An argument could be read by everybody on
 * the machine, and would stay in the shell's history.
 */
import { createInterface, type Interface } from "node:readline";
import { UsageError } from "./errors.ts";
import { ask } from "./terminal.ts";

/**
 * The next line of standard input; on a terminal a person is asked for it and sees nothing of what is typed.
 *
 * @param what like `the provider's key`
 * @throws UsageError when there is none
 */
export async function readSecret(what: string): Promise<string> {
  const line = process.stdin.isTTY ? await ask(`${what} (not shown): `, false) : await nextLine();
  if (line === "") throw new UsageError(`expected ${what} as a line of standard input`);
  return line;
}

/** The one-time token in a link, which people copy as a whole: what follows its `#`. */
export const tokenOfLink = (link: string): string => link.trim().slice(link.trim().lastIndexOf("#") + 1);

/** The value of an environment variable that the command line names. @throws UsageError when it is not set */
export function secretOf(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw new UsageError(`expected a secret in ${name}, which is not set`);
  return value;
}

// One reader for all secrets of a command: it may have read further than the line that was taken.
let lines: AsyncIterator<string> | undefined;
let reader: Interface | undefined;

async function nextLine(): Promise<string> {
  reader ??= createInterface({ input: process.stdin });
  lines ??= reader[Symbol.asyncIterator]();
  const next = await lines.next();
  return next.done === true ? "" : next.value;
}

/** Lets go of standard input, so that a writer that keeps it open does not keep the command from its end. */
export function closeInput(): void {
  if (reader === undefined) return;
  reader.close();
  process.stdin.destroy();
  reader = lines = undefined;
}
