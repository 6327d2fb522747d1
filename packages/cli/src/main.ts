/** The command line, run once. */
import { CommanderError } from "commander";
import { exitCode, toReport } from "./errors.ts";
import { createProgram } from "./program.ts";
import { closeInput } from "./secret.ts";

/** Sets the exit code of the process, and tells on standard error what went wrong. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const closing: (() => Promise<void>)[] = [];
  const program = createProgram(env, closing);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    // commander has printed its own message; help and version end here as well, with 0.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCode.usage;
    else tell(error, program.opts<{ json?: boolean }>().json);
  } finally {
    closeInput();
    // What is left of a session ends by itself; the command has done its work by now, or told why not.
    for (const close of closing) await close().catch(() => {});
  }
}

/** Says why a command failed, and lets the process end with what that means. */
export function tell(error: unknown, json = false): void {
  const report = toReport(error);
  if (report.line !== undefined) {
    process.stderr.write(json ? `${JSON.stringify({ error: report.error })}\n` : `callboard: ${report.line}\n`);
  }
  process.exitCode = report.exitCode;
}
