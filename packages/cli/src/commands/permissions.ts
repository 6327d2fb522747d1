import type { Permission, PermissionDecision, PermissionState } from "@callboard/client";
import { type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { given, listed, type PageOptions, paged, printPage, wholeNumber } from "../options.ts";
import { printFields, printJson } from "../output.ts";

type DecideOptions = { message?: string; argumentsHash?: string };
type ListOptions = PageOptions & { state: PermissionState; agent?: string; thread?: string; wait?: number };

const states = ["pending", "allowed", "denied", "expired"] as const satisfies PermissionState[];

export function addPermissionCommands(program: Command, contextOf: ContextOf): void {
  const permissions = program.command("permissions").description("tool calls that wait for a person");

  paged(permissions.command("list"))
    .description("what was asked for you, or is yours to decide")
    .addOption(new Option("--state <state>", "only these").choices(states).default("pending"))
    .option("--agent <agent>", "only of this agent, by id or slug")
    .option("--thread <thread>", "only in this thread")
    .option("--wait <seconds>", "wait for the first one, at most 60", wholeNumber)
    .action(async ({ state, agent, thread, wait, ...options }: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const filter = { state, ...given({ agent_id: agent, thread_id: thread }) };
      const page = await listed(options, (at) => client.permissions.list({ ...at, ...filter }, { waitSeconds: wait }));
      const columns = ["id", "tool", "input", "agent_name", "by", "state", "expires_at"] as const;
      if (json) printJson(page);
      else printPage(false, { ...page, data: page.data.map(withRequester) }, columns);
    });

  permissions
    .command("get <permission>")
    .description("retrieve a request with all that is decided on")
    .option("--wait <seconds>", "wait for its decision, at most 60", wholeNumber)
    .action(async (id: string, { wait }: { wait?: number }, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.permissions.get(id, { waitSeconds: wait }));
    });

  const decide = async (
    id: string,
    decision: PermissionDecision,
    { message, argumentsHash }: DecideOptions,
    command: Command,
  ) => {
    const { client, json } = contextOf(command);
    const shown = given({ message, arguments_hash: argumentsHash });
    print(json, await client.permissions.decide(id, { decision, ...shown }));
  };
  const HASH = [
    "--arguments-hash <hash>",
    "only if the request is still about these arguments, as get shows them",
  ] as const;

  permissions
    .command("approve <permission>")
    .description("allow the call")
    .option("--for-thread", "allow later calls of the tool in this thread too, within the same scope")
    .option(...HASH)
    .action((id: string, { forThread, ...options }: DecideOptions & { forThread?: true }, command: Command) =>
      decide(id, forThread === true ? "allow_for_thread" : "allow_once", options, command),
    );

  permissions
    .command("deny <permission>")
    .description("refuse the call")
    .option("--message <text>", "a reason, for the agent")
    .option(...HASH)
    .action((id: string, options: DecideOptions, command: Command) => decide(id, "deny", options, command));
}

const print = (json: boolean, permission: Permission) => (json ? printJson(permission) : printFields(permission));

const withRequester = (permission: Permission) => {
  const { requested_by: by } = permission;
  return { ...permission, by: by.email ?? by.id };
};
