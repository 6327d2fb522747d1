import type { Permission, PermissionDecision, PermissionState } from "@callboard/client";
import { type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { type PageOptions, paged, pageOf, printPage, wholeNumber } from "../options.ts";
import { printFields, printJson } from "../output.ts";

const states = ["pending", "allowed", "denied", "expired"] as const satisfies PermissionState[];

export function addPermissionCommands(program: Command, contextOf: ContextOf): void {
  const permissions = program.command("permissions").description("tool calls that wait for a person");

  paged(permissions.command("list"))
    .description("what was asked for you, or is yours to decide")
    .addOption(new Option("--state <state>", "only these").choices(states).default("pending"))
    .option("--agent <agent>", "only of this agent, by id or slug")
    .option("--wait <seconds>", "wait for the first one, at most 60", wholeNumber)
    .action(
      async (options: PageOptions & { state: PermissionState; agent?: string; wait?: number }, command: Command) => {
        const { client, json } = contextOf(command);
        const query = { ...pageOf(options), state: options.state, agent_id: options.agent };
        const page = await client.permissions.list(query, { waitSeconds: options.wait });
        const columns = ["id", "tool", "input", "agent_name", "by", "state", "expires_at"] as const;
        if (json) printJson(page);
        else printPage(false, { ...page, data: page.data.map(withRequester) }, columns);
      },
    );

  permissions
    .command("get <permission>")
    .description("retrieve a request with all that is decided on")
    .action(async (id: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.permissions.get(id));
    });

  const decide = async (id: string, decision: PermissionDecision, message: string | undefined, command: Command) => {
    const { client, json } = contextOf(command);
    print(json, await client.permissions.decide(id, { decision, message }));
  };

  permissions
    .command("approve <permission>")
    .description("allow the call")
    .option("--for-thread", "allow later calls of the tool in this thread too, within the same scope")
    .action((id: string, { forThread }: { forThread?: boolean }, command: Command) =>
      decide(id, forThread === true ? "allow_for_thread" : "allow_once", undefined, command),
    );

  permissions
    .command("deny <permission>")
    .description("refuse the call")
    .option("--message <text>", "a reason, for the agent")
    .action((id: string, { message }: { message?: string }, command: Command) => decide(id, "deny", message, command));
}

const print = (json: boolean, permission: Permission) => (json ? printJson(permission) : printFields(permission));

const withRequester = (permission: Permission) => {
  const { requested_by: by } = permission;
  return { ...permission, by: by.email ?? by.id };
};
