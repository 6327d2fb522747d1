/** Runs the command line once: arguments in, exit code out. */
import { CommanderError } from "commander";
import { exitCode, toReport } from "./errors.ts";
import { createProgram } from "./program.ts";

// A reader that has enough (`callboard … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await createProgram(process.env).parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed its own message; help and version end here as well, with 0.
    process.exitCode = error.exitCode === 0 ? 0 : exitCode.usage;
  } else {
    const report = toReport(error);
    process.stderr.write(`callboard: ${report.line}\n`);
    process.exitCode = report.exitCode;
  }
}
