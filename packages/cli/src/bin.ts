/** Runs the command line in a process of its own. */
import { exitCode } from "./exit-code.ts";
import { serverOf } from "./servers.ts";

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

const server = serverOf(process.argv);
if (server === undefined) {
  const { main } = await import("./main.ts");
  await main(process.argv, process.env);
} else {
  await server().catch(async (error) => (await import("./main.ts")).tell(error));
}
