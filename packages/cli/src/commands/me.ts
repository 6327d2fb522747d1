import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { printFields, printJson } from "../output.ts";

export function addMeCommand(program: Command, contextOf: ContextOf): void {
  program
    .command("me")
    .description("print who the token says is asking")
    .action(async (_: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const me = await client.me.get();
      if (json) return printJson(me);
      printFields({
        kind: me.kind,
        organization: me.organization.name,
        organization_id: me.organization.id,
        name: me.user?.name,
        email: me.user?.email,
        role: me.user?.role,
        token_id: me.token_id,
        scopes: me.scopes.join(" "),
      });
    });
}
