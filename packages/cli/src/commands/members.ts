import type { CallboardClient } from "@callboard/client";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { userId } from "../names.ts";
import { changes, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printOne } from "../output.ts";

export const roles = ["owner", "admin", "member", "guest"] as const;
type Role = (typeof roles)[number];
type AddOptions = { name?: string; role: Role };
type UpdateOptions = { role?: Role; suspended?: boolean };
type NewMember = Parameters<CallboardClient["members"]["add"]>[0];

export function addMemberCommands(program: Command, contextOf: ContextOf): void {
  const members = program
    .command("members")
    .description("people in the organization; somebody is named by email or id");

  paged(members.command("list"))
    .description("list members")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.members.list);
      printPage(json, page, ["user_id", "email", "name", "role", "suspended", "created_at"]);
    });

  members
    .command("add <email>")
    .description("make somebody a member at once; an invitation lets the person choose a password")
    .option("--name <text>", "the person's name (default: the part before the @)")
    .addOption(new Option("--role <role>", "what the person becomes").choices(roles).default("member"))
    .action(async (email: string, { name, role }: AddOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.members.add({ email, name: name ?? email.split("@")[0], role } as NewMember));
    });

  members
    .command("update <user>")
    .description("change somebody's role, or suspend somebody")
    .addOption(new Option("--role <role>", "the new role").choices(roles))
    .option("--suspended", "the person keeps the place, but may do nothing")
    .option("--no-suspended", "the person may work again")
    .action(async (user: string, { role, suspended }: UpdateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.members.update(await userId(client, user), changes(command, { role, suspended })));
    });

  confirming(members.command("remove <user>"))
    .description("take somebody out of the organization; the person's tokens and sessions end")
    .action(async (user: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`remove ${user} from the organization`, options, json)) {
        await client.members.remove(await userId(client, user));
      }
    });
}
