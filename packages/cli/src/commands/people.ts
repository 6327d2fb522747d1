/** Who belongs to the organization: invitations and groups. */
import type { CallboardClient } from "@callboard/client";
import { type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { collect, type PageOptions, paged, pageOf, printPage } from "../options.ts";
import { printFields, printJson } from "../output.ts";

const roles = ["owner", "admin", "member", "guest"] as const;
const states = ["open", "accepted", "revoked", "expired"] as const;
type InviteOptions = { role: (typeof roles)[number]; group?: string[] };
type GroupOptions = { name?: string; user?: string[] };

/** Ids of groups that are named by slug or id. @throws UsageError that says which there are */
export async function groupIds(client: CallboardClient, named: readonly string[] = []): Promise<string[]> {
  const isId = (name: string) => name.startsWith("group_");
  if (named.every(isId)) return [...named];
  const { data } = await client.groups.list({ limit: 200 });
  return named.map((name) => {
    const id = isId(name) ? name : data.find(({ slug }) => slug === name)?.id;
    if (id !== undefined) return id;
    const known = data.map(({ slug }) => slug).join(", ") || "none";
    throw new UsageError(`there is no group ${name}; the organization has ${known}`);
  });
}

export function addInvitationCommands(program: Command, contextOf: ContextOf): void {
  const invitations = program.command("invitations").description("links that make people members of the organization");

  paged(invitations.command("list"))
    .description("list invitations, newest first")
    .addOption(new Option("--state <state>", "only these").choices(states))
    .action(async (options: PageOptions & { state?: (typeof states)[number] }, command: Command) => {
      const { client, json } = contextOf(command);
      const { state } = options;
      const page = await client.invitations.list({ ...pageOf(options), ...(state === undefined ? {} : { state }) });
      printPage(json, page, ["id", "email", "role", "state", "expires_at"]);
    });

  invitations
    .command("create <email>")
    .description("invite somebody; the link is printed once, and no mail is sent")
    .addOption(new Option("--role <role>", "what the person becomes").choices(roles).default("member"))
    .option("--group <group>", "a group that the person joins, by slug or id (repeatable)", collect)
    .action(async (email: string, { role, group }: InviteOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const group_ids = await groupIds(client, group);
      print(json, await client.invitations.create({ email, role, group_ids } as Invite));
    });

  invitations
    .command("resend <invitation>")
    .description("print another link for an invitation; the old one ends")
    .action(async (id: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.invitations.resend(id));
    });

  invitations
    .command("revoke <invitation>")
    .description("end an invitation")
    .action(async (id: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const invitation = await client.invitations.revoke(id);
      if (json) printJson(invitation);
      else printFields(invitation);
    });
}

export function addGroupCommands(program: Command, contextOf: ContextOf): void {
  const groups = program.command("groups").description("members of the organization under one name");

  paged(groups.command("list"))
    .description("list groups")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      printPage(json, await client.groups.list(pageOf(options)), ["slug", "id", "name", "user_ids"]);
    });

  groups
    .command("create <slug>")
    .description("create a group")
    .option("--name <text>", "its name (default: the slug)")
    .option("--user <id>", "a member who is in it (repeatable)", collect)
    .action(async (slug: string, { name, user }: GroupOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const made = await client.groups.create({ slug, name: name ?? slug, user_ids: user ?? [] } as NewGroup);
      if (json) printJson(made);
      else printFields(made);
    });

  groups
    .command("update <group>")
    .description("rename a group, by slug or id, or replace its members")
    .option("--name <text>", "its name")
    .option("--user <id>", "a member who is in it (repeatable); all others leave it", collect)
    .option("--empty", "everybody leaves it")
    .action(async (group: string, { name, user, empty }: GroupOptions & { empty?: true }, command: Command) => {
      const { client, json } = contextOf(command);
      const [id = ""] = await groupIds(client, [group]);
      const users = empty === true ? [] : user;
      const changes = { ...(name === undefined ? {} : { name }), ...(users === undefined ? {} : { user_ids: users }) };
      const changed = await client.groups.update(id, changes as GroupChanges);
      if (json) printJson(changed);
      else printFields(changed);
    });
}

// Ids come from the command line as they are: the server says which one is none.
type Invite = Parameters<CallboardClient["invitations"]["create"]>[0];
type NewGroup = Parameters<CallboardClient["groups"]["create"]>[0];
type GroupChanges = Parameters<CallboardClient["groups"]["update"]>[1];
type Made = Awaited<ReturnType<CallboardClient["invitations"]["create"]>>;

function print(json: boolean, made: Made): void {
  if (json) printJson(made);
  else printFields({ ...made.invitation, url: made.url });
}
