/** The command line, run once. */
import { CommanderError } from "commander";
import { exitCode, toReport } from "./errors.ts";
import { createProgram } from "./program.ts";
import { closeInput } from "./secret.ts";

/** Sets the exit code of the process, and tells on standard error what went wrong. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const closing: (() => Promise<void>)[] = [];
  try {
    await createProgram(env, closing).parseAsync(argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed its own message; help and version end here as well, with 0.
      process.exitCode = error.exitCode === 0 ? 0 : exitCode.usage;
    } else {
      const report = toReport(error);
      if (report.line !== undefined) process.stderr.write(`callboard: ${report.line}\n`);
      process.exitCode = report.exitCode;
    }
  } finally {
    closeInput();
    // What is left of a session ends by itself; the command has done its work by now, or told why not.
    for (const close of closing) await close().catch(() => {});
  }
}
