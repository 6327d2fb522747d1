import type { CallboardClient } from "@callboard/client";
import type { Command } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { groupId, userIds } from "../names.ts";
import { changes, collect, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printOne } from "../output.ts";

type GroupOptions = { name?: string; user?: string[] };
// Ids come from the command line as they are: the server says which one is none.
type NewGroup = Parameters<CallboardClient["groups"]["create"]>[0];
type GroupChanges = Parameters<CallboardClient["groups"]["update"]>[1];

export function addGroupCommands(program: Command, contextOf: ContextOf): void {
  const groups = program
    .command("groups")
    .description("members of the organization under one name; a group is named by slug or id");

  paged(groups.command("list"))
    .description("list groups")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printPage(json, await listed(options, client.groups.list), ["slug", "id", "name", "user_ids"]);
    });

  groups
    .command("create <slug>")
    .description("create a group")
    .option("--name <text>", "its name (default: the slug)")
    .option("--user <user>", "a member who is in it, by email or id (repeatable)", collect)
    .action(async (slug: string, { name, user }: GroupOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const user_ids = await userIds(client, user);
      printOne(json, await client.groups.create({ slug, name: name ?? slug, user_ids } as NewGroup));
    });

  groups
    .command("update <group>")
    .description("rename a group, or replace its members")
    .option("--name <text>", "its name")
    .option("--user <user>", "a member who is in it, by email or id (repeatable); all others leave it", collect)
    .option("--empty", "everybody leaves it")
    .action(async (group: string, { name, user, empty }: GroupOptions & { empty?: true }, command: Command) => {
      const { client, json } = contextOf(command);
      const user_ids = empty === true ? [] : user && (await userIds(client, user));
      const id = await groupId(client, group);
      printOne(json, await client.groups.update(id, changes(command, { name, user_ids }) as GroupChanges));
    });

  confirming(groups.command("delete <group>"))
    .description("delete a group; its members lose what it opened to them")
    .action(async (group: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete group ${group}`, options, json)) {
        await client.groups.delete(await groupId(client, group));
      }
    });
}
