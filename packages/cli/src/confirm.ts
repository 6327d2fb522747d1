/** Asking a person before something is gone. */
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { exitCode, UsageError } from "./errors.ts";
import { plain, write } from "./output.ts";

export type ConfirmOptions = { yes?: boolean };

/** Adds `--yes`. */
export const confirming = (command: Command): Command => command.option("--yes", "do not ask");

/**
 * Whether it shall be done: with `--yes`, or when a person says so. Sets the exit code when not.
 *
 * @param deed like `delete thread thread_1 with all that is in it`
 * @throws UsageError when there is nobody to ask
 */
export async function confirmed(deed: string, { yes }: ConfirmOptions, json: boolean): Promise<boolean> {
  if (yes === true) return true;
  if (json || !process.stdin.isTTY) throw new UsageError(`expected --yes, because nobody can be asked to ${deed}`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const question = `${deed.charAt(0).toUpperCase()}${plain(deed.slice(1))}? Only "yes" does it: `;
  const answer = await terminal.question(question).finally(() => terminal.close());
  if (answer.trim() === "yes") return true;
  write("Nothing was changed.\n");
  process.exitCode = exitCode.failed;
  return false;
}
