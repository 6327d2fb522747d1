/** Commands that are the server, or work on its database. They alone load it. */
import type { Command } from "commander";
import { exitCode, UsageError } from "../errors.ts";
import { printFields, printJson, printTable } from "../output.ts";
import { readSecret } from "../secret.ts";
import { servers } from "../servers.ts";

type PasswordOptions = { email: string; link?: boolean; json?: boolean };
type InitOptions = { email: string; organization: string; name?: string; json?: boolean };

export function addServerCommands(program: Command, env: NodeJS.ProcessEnv): void {
  program
    .command("dev")
    .description("start a local server with its own database, and the project in this folder or an example")
    .action(servers.dev);

  program.command("serve").description("start a production server on DATABASE_URL").action(servers.serve);

  const admin = program.command("admin").description("the operator's own acts, on the database itself");
  admin
    .command("rotate-keys")
    .description("put every stored secret under the first key of CALLBOARD_SECRET_KEY, also while servers run")
    .action(async (_: { json?: boolean }, command: Command) => {
      if (!env.DATABASE_URL) throw new UsageError("expected DATABASE_URL, the address of the server's database");
      if (!env.CALLBOARD_SECRET_KEY) throw new UsageError("expected CALLBOARD_SECRET_KEY as new,old");
      const { rotateKeys } = await import("@callboard/server");
      const { key_id, rotated, unreadable } = await rotateKeys();
      if (command.optsWithGlobals<{ json?: boolean }>().json) printJson({ key_id, rotated, unreadable });
      else {
        printFields({ key_id, ...rotated, unreadable: unreadable.length });
        if (unreadable.length > 0) printTable(["table", "identity", "key_id"], unreadable);
      }
      if (unreadable.length > 0) process.exitCode = exitCode.failed;
    });

  admin
    .command("set-password")
    .description("set somebody's password, read from standard input, or print a link for it")
    .requiredOption("--email <email>", "whose password")
    .option("--link", "print a one-time link with which the person sets it")
    .action(async (_: PasswordOptions, command: Command) => {
      const { email, link, json } = command.optsWithGlobals<PasswordOptions>();
      const { adminPassword, adminPasswordLink } = await import("@callboard/server");
      const made =
        link === true
          ? await adminPasswordLink(email)
          : await adminPassword(email, await readSecret("the new password, or --link,"));
      if (json) printJson(made);
      else printFields(made);
    });

  admin
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
