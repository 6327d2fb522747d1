/** Asking a person before something is gone. */
import type { Command } from "commander";
import { exitCode, UsageError } from "./errors.ts";
import { write } from "./output.ts";
import { ask } from "./terminal.ts";

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
  const question = `${deed.charAt(0).toUpperCase()}${deed.slice(1)}? Only "yes" does it: `;
  if ((await ask(question, true)).trim() === "yes") return true;
  write("Nothing was changed.\n");
  process.exitCode = exitCode.failed;
  return false;
}
