/** Commands that are the server, or work on its database. They alone load it. */
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { printFields, printJson } from "../output.ts";

type InitOptions = { email: string; organization: string; name?: string; json?: boolean };

export function addServerCommands(program: Command, env: NodeJS.ProcessEnv): void {
  program
    .command("dev")
    .description("start a local server with its own database and an example project")
    .action(async () => {
      const { startDev } = await import("@callboard/server");
      await startDev();
    });

  program
    .command("serve")
    .description("start a production server on DATABASE_URL")
    .action(async () => {
      const { startServe } = await import("@callboard/server");
      await startServe();
    });

  program
    .command("admin")
    .description("prepare a database")
    .command("init")
    .description("create an organization, its owner and a token in the database at DATABASE_URL")
    .requiredOption("--email <email>", "the owner's address")
    .requiredOption("--organization <name>", "name of the organization")
    .option("--name <name>", "the owner's name")
    .action(async (_: InitOptions, command: Command) => {
      if (!env.DATABASE_URL) throw new UsageError("expected DATABASE_URL, the address of an empty PostgreSQL database");
      const { email, organization, name, json } = command.optsWithGlobals<InitOptions>();
      const { adminInit } = await import("@callboard/server");
      const made = await adminInit({
        email,
        organizationName: organization,
        ...(name === undefined ? {} : { name }),
      });
      if (json) printJson(made);
      else printFields(made);
    });
}
