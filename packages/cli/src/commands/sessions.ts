/** What a person does about the own sign-in: sessions, and the password. */
import type { Command } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { userId } from "../names.ts";
import { listed, type PageOptions, paged, printPage } from "../options.ts";
import { printJson, printOne, write } from "../output.ts";
import { tokenOfLink } from "../secret.ts";

export function addSessionCommands(program: Command, contextOf: ContextOf): void {
  const session = program.command("session").description("the session of a person who signs in with --as");

  session
    .command("get")
    .description("print who signs in, and which organizations the person may go to")
    .action(async (_: unknown, command: Command) => {
      const { client, json } = contextOf(command, "session");
      const { csrf_token: _secret, ...signedIn } = await client.session.get();
      if (json) return printJson(signedIn);
      const { user, organization, organizations } = signedIn;
      printOne(false, {
        email: user.email,
        name: user.name,
        role: user.role,
        organization: organization.name,
        organization_id: organization.id,
        organizations: organizations.map(({ id, name }) => `${name} (${id})`).join(", "),
      });
    });

  session
    .command("switch <organization>")
    .description("begin in another organization, by id, from the next sign-in on")
    .action(async (organization: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command, "session");
      type Body = Parameters<typeof client.session.switch>[0];
      const signedIn = await client.session.switch({ organization_id: organization } as Body);
      printOne(json, { organization: signedIn.organization.name, organization_id: signedIn.organization.id });
    });

  const sessions = program.command("sessions").description("where a person is signed in");

  paged(sessions.command("list"))
    .description("list the own sessions, newest first; the first is that of this command")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command, "session");
      const page = await listed(options, client.sessions.list);
      printPage(json, page, ["id", "current", "method", "address", "user_agent", "last_used_at", "expires_at"]);
    });

  sessions
    .command("end <session>")
    .description("sign out of one of the own sessions")
    .action(async (id: string, _: unknown, command: Command) => {
      await contextOf(command, "session").client.sessions.end(id);
    });

  confirming(sessions.command("end-all"))
    .description("sign out everywhere")
    .action(async (options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command, "session");
      if (await confirmed("sign out everywhere", options, json)) await client.sessions.endAll();
    });
}

export function addPasswordCommands(program: Command, contextOf: ContextOf): void {
  const password = program.command("password").description("the password of a person");

  password
    .command("change")
    .description("change the own password: the old one, then the new one, on standard input; other sessions end")
    .action(async (_: unknown, command: Command) => {
      const { client, json, secret, password: old_password } = contextOf(command, "session");
      const { user } = await client.password.change({ old_password, new_password: await secret("the new password") });
      printOne(json, { user_id: user.user_id, email: user.email });
    });

  password
    .command("reset")
    .description("set a password with a one-time link: the link, then the password, on standard input")
    .action(async (_: unknown, command: Command) => {
      const { client, json, secret } = contextOf(command, "nobody");
      const token = tokenOfLink(await secret("the link"));
      await client.password.reset({ token, password: await secret("the new password") });
      if (!json) write("The password is set.\n");
    });

  program
    .command("password-links")
    .description("one-time links with which people set their passwords")
    .command("create <user>")
    .description("print a link for a member, by email or id; hand it to the person")
    .action(async (user: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      type Body = Parameters<typeof client.passwordLinks.create>[0];
      const { token: _token, ...link } = await client.passwordLinks.create({
        user_id: await userId(client, user),
      } as Body);
      printOne(json, link);
    });
}
