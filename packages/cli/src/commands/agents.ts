import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { type PageOptions, paged, pageOf, printPage } from "../options.ts";
import { printFields, printJson } from "../output.ts";

export function addAgentCommands(program: Command, contextOf: ContextOf): void {
  const agents = program.command("agents").description("agents and their versions; an agent is named by id or slug");
  const print = (json: boolean, answer: Record<string, unknown>) => (json ? printJson(answer) : printFields(answer));

  paged(agents.command("list"))
    .description("list the agents that you may use or edit")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.agents.list(pageOf(options));
      printPage(json, page, ["slug", "id", "live_version", "latest_version", "access_mode", "api_access"]);
    });

  agents
    .command("get <agent>")
    .description("retrieve an agent with its draft")
    .action(async (agent: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.agents.get(agent));
    });

  agents
    .command("publish <agent>")
    .description("freeze the draft as a new version and make it live")
    .action(async (agent: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.agents.publish(agent));
    });

  agents
    .command("unpublish <agent>")
    .description("take the live version away; the versions stay")
    .action(async (agent: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.agents.unpublish(agent));
    });

  paged(agents.command("versions <agent>"))
    .description("list an agent's versions, newest first")
    .action(async (agent: string, options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.agents.versions(agent, pageOf(options));
      printPage(json, page, ["version", "live", "published_by", "published_at"]);
    });
}
