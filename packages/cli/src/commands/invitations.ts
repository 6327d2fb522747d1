import type { CallboardClient } from "@callboard/client";
import { type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { groupIds } from "../names.ts";
import { collect, given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printJson, printOne } from "../output.ts";
import { tokenOfLink } from "../secret.ts";
import { roles } from "./members.ts";

const states = ["open", "accepted", "revoked", "expired"] as const;
type InviteOptions = { role: (typeof roles)[number]; group?: string[] };

export function addInvitationCommands(program: Command, contextOf: ContextOf): void {
  const invitations = program.command("invitations").description("links that make people members of the organization");

  paged(invitations.command("list"))
    .description("list invitations, newest first")
    .addOption(new Option("--state <state>", "only these").choices(states))
    .action(async (options: PageOptions & { state?: (typeof states)[number] }, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, (at) =>
        client.invitations.list({ ...at, ...given({ state: options.state }) }),
      );
      printPage(json, page, ["id", "email", "role", "state", "expires_at"]);
    });

  invitations
    .command("get <invitation>")
    .description("retrieve an invitation")
    .action(async (id: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.invitations.get(id));
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
      printOne(json, await client.invitations.revoke(id));
    });

  invitations
    .command("preview")
    .description("print what an invitation is about: the link on standard input, which stays good")
    .action(async (_: unknown, command: Command) => {
      const { client, json, secret } = contextOf(command, "nobody");
      const preview = await client.invitations.preview({ token: tokenOfLink(await secret("the link")) });
      if (json) return printJson(preview);
      printOne(false, { ...preview, organization: preview.organization.name, invited_by: preview.invited_by.name });
    });

  invitations
    .command("accept")
    .description("become a member: the link, then a password, on standard input")
    .option("--name <text>", "your name, where the server does not know you yet")
    .action(async ({ name }: { name?: string }, command: Command) => {
      const { client, json, secret } = contextOf(command, "nobody");
      const token = tokenOfLink(await secret("the link"));
      const password = await secret("a password, or yours if you have one on this server");
      const { user, organization } = await client.invitations.accept({ token, password, ...given({ name }) });
      printOne(json, { user_id: user.user_id, email: user.email, role: user.role, organization_id: organization.id });
    });
}

// Ids come from the command line as they are: the server says which one is none.
type Invite = Parameters<CallboardClient["invitations"]["create"]>[0];
type Made = Awaited<ReturnType<CallboardClient["invitations"]["create"]>>;

function print(json: boolean, made: Made): void {
  if (json) printJson(made);
  else printOne(false, { ...made.invitation, url: made.url });
}
