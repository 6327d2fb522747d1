/** Runs the command line in a process of its own. */
import { exitCode } from "./errors.ts";
import { main } from "./main.ts";

// A reader that has enough (`callboard … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  process.stderr.write(`callboard: standard output cannot be written: ${error.message}\n`);
  process.exit(exitCode.failed);
});
// With nobody to tell, there is nothing to tell; the exit code says it.
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

await main(process.argv, process.env);
