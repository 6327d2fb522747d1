import type { CallboardClient } from "@callboard/client";
import type { Command } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { groupIds, userIds } from "../names.ts";
import { changes, collect, given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printOne } from "../output.ts";

type AccessOptions = { organization?: true; user?: string[]; group?: string[]; service?: string[] };
type CreateOptions = AccessOptions & { name?: string; description?: string; language?: string };
type NewCollection = Parameters<CallboardClient["collections"]["create"]>[0];
type Access = Parameters<CallboardClient["collections"]["setAccess"]>[1];

export function addCollectionCommands(program: Command, contextOf: ContextOf): void {
  const collections = program
    .command("collections")
    .description("documents that are opened together; a collection is named by slug or id");

  paged(collections.command("list"))
    .description("list the collections that you may read, or all of them as an admin")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printPage(json, await listed(options, client.collections.list), ["slug", "id", "name", "language"]);
    });

  collections
    .command("get <collection>")
    .description("retrieve a collection")
    .action(async (collection: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.collections.get(collection));
    });

  withAccess(collections.command("create <slug>"))
    .description("create a collection; without an option nobody may read it")
    .option("--name <text>", "its name (default: the slug)")
    .option("--description <text>", "what is in it")
    .option("--language <language>", "how words are brought to their stems, like english (default: simple)")
    .action(async (slug: string, { name, description, language, ...access }: CreateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const body = {
        slug,
        name: name ?? slug,
        ...given({ description, language }),
        access: await accessOf(client, access),
      };
      // The server knows its languages, and says which one it does not know.
      printOne(json, await client.collections.create(body as NewCollection));
    });

  collections
    .command("update <collection>")
    .description("rename or describe a collection")
    .option("--name <text>", "its name")
    .option("--description <text>", "what is in it")
    .action(async (collection: string, options: { name?: string; description?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      const { name, description } = options;
      printOne(json, await client.collections.update(collection, changes(command, { name, description })));
    });

  collections
    .command("get-access <collection>")
    .description("print who may read a collection")
    .action(async (collection: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.collections.getAccess(collection));
    });

  withAccess(collections.command("set-access <collection>"))
    .description("replace who may read a collection")
    .option("--nobody", "close it")
    .action(async (collection: string, options: AccessOptions & { nobody?: true }, command: Command) => {
      const { client, json } = contextOf(command);
      const { nobody, organization, user, group, service } = options;
      if ([nobody, organization, user, group, service].every((one) => one === undefined)) {
        command.error("error: expected --organization, --user, --group, --service or --nobody");
      }
      printOne(json, await client.collections.setAccess(collection, await accessOf(client, options)));
    });

  confirming(collections.command("delete <collection>"))
    .description("delete a collection with its documents")
    .action(async (collection: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const deed = `delete collection ${collection} with its documents`;
      if (await confirmed(deed, options, json)) await client.collections.delete(collection);
    });
}

const withAccess = (command: Command): Command =>
  command
    .option("--organization", "open it to every member but guests")
    .option("--user <user>", "open it to a member, by email or id (repeatable)", collect)
    .option("--group <group>", "open it to a group, by slug or id (repeatable)", collect)
    .option("--service <token>", "open it to a service token, by id (repeatable)", collect);

async function accessOf(client: CallboardClient, options: AccessOptions): Promise<Access> {
  const { organization, user, group, service } = options;
  const users = await userIds(client, user);
  const groups = await groupIds(client, group);
  return { organization: organization === true, users, groups, services: service ?? [] } as Access;
}
