import type { Agent, AgentConfig, AgentDiff, AgentVersion, CallboardClient } from "@callboard/client";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { readJsonFile } from "../json-input.ts";
import { groupIds, userId, userIds } from "../names.ts";
import { changes, collect, given, listed, type PageOptions, paged, printPage, wholeNumber } from "../options.ts";
import { plain, printFields, printJson, printOne, styled, write } from "../output.ts";

const accessModes = ["organization", "invited"] as const satisfies Agent["access_mode"][];
type Settings = { draft?: string; accessMode?: (typeof accessModes)[number]; apiAccess?: boolean };
type UpdateOptions = Settings & { slug?: string; owner?: string; revision?: string };
type AccessOptions = { user?: string[]; group?: string[]; nobody?: true };
type NewAgent = Parameters<CallboardClient["agents"]["create"]>[0];
type AgentChanges = Parameters<CallboardClient["agents"]["update"]>[1];
type Invited = Parameters<CallboardClient["agents"]["setAccess"]>[1];
type Revision = { revision?: string };

export function addAgentCommands(program: Command, contextOf: ContextOf): void {
  const agents = program.command("agents").description("agents and their versions; an agent is named by id or slug");

  paged(agents.command("list"))
    .description("list the agents that you may use or edit")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.agents.list);
      printPage(json, page, ["slug", "id", "live_version", "latest_version", "access_mode", "api_access"]);
    });

  agents
    .command("get <agent>")
    .description("retrieve an agent with its draft")
    .action(async (agent: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.agents.get(agent));
    });

  withSettings(agents.command("create <slug>"))
    .description("create an agent as a draft; `apply` does the same from files")
    .action(async (slug: string, { draft, accessMode, apiAccess }: Settings, command: Command) => {
      const { client, json } = contextOf(command);
      const config = draft === undefined ? { name: slug } : await readJsonFile(draft);
      const body = { slug, draft: config, ...given({ access_mode: accessMode, api_access: apiAccess }) };
      print(json, await client.agents.create(body as NewAgent));
    });

  revised(withSettings(agents.command("update <agent>")))
    .description("change an agent's draft, its slug or who may use it")
    .option("--slug <slug>", "another slug")
    .option("--owner <user>", "another owner, by email or id")
    .action(async (agent: string, options: UpdateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const body = changes(command, {
        slug: options.slug,
        draft: options.draft && (await readJsonFile(options.draft)),
        access_mode: options.accessMode,
        api_access: options.apiAccess,
        owner_id: options.owner && (await userId(client, options.owner)),
      });
      print(json, await client.agents.update(agent, body as AgentChanges, seen(options)));
    });

  confirming(revised(agents.command("delete <agent>")))
    .description("delete an agent that has no threads")
    .action(async (agent: string, options: ConfirmOptions & Revision, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`delete agent ${agent}`, options, json)) await client.agents.delete(agent, seen(options));
    });

  revised(agents.command("publish <agent>"))
    .description("freeze the draft as a new version and make it live")
    .action(async (agent: string, options: Revision, command: Command) => {
      const { client, json } = contextOf(command);
      printVersion(json, await client.agents.publish(agent, seen(options)));
    });

  revised(agents.command("unpublish <agent>"))
    .description("take the live version away; the versions stay")
    .action(async (agent: string, options: Revision, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.agents.unpublish(agent, seen(options)));
    });

  paged(agents.command("versions <agent>"))
    .description("list an agent's versions, newest first")
    .action(async (agent: string, options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, (at) => client.agents.versions(agent, at));
      printPage(json, page, ["version", "live", "published_by", "published_at"]);
    });

  agents
    .command("version <agent>")
    .description("retrieve a version with what it freezes")
    .argument("<version>", "its number", wholeNumber)
    .action(async (agent: string, version: number, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const found = await client.agents.version(agent, version);
      if (json) return printJson(found);
      const { config, ...rest } = found;
      printFields({ ...rest, ...config });
    });

  revised(agents.command("activate <agent>"))
    .description("make an older version live again")
    .argument("<version>", "its number", wholeNumber)
    .action(async (agent: string, version: number, options: Revision, command: Command) => {
      const { client, json } = contextOf(command);
      printVersion(json, await client.agents.activate(agent, version, seen(options)));
    });

  agents
    .command("diff <agent>")
    .description("compare two versions, or a version with the draft")
    .argument("<from>", "a version's number, or draft", versionOrDraft)
    .argument("[to]", "a version's number, or draft", versionOrDraft, "draft")
    .action(async (agent: string, from: string, to: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const diff = await client.agents.diff(agent, { from, to });
      if (json) printJson(diff);
      else printDiff(diff);
    });

  agents
    .command("get-access <agent>")
    .description("print who is invited to an agent whose access mode is invited")
    .action(async (agent: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.agents.getAccess(agent));
    });

  agents
    .command("set-access <agent>")
    .description("replace who is invited to an agent, beside its owner")
    .option("--user <user>", "a member, by email or id (repeatable)", collect)
    .option("--group <group>", "a group, by slug or id (repeatable)", collect)
    .option("--nobody", "the owner alone")
    .action(async (agent: string, { user, group, nobody }: AccessOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (user === undefined && group === undefined && nobody === undefined) {
        command.error("error: expected --user, --group or --nobody");
      }
      const invited = { users: await userIds(client, user), groups: await groupIds(client, group) };
      printOne(json, await client.agents.setAccess(agent, invited as Invited));
    });
}

const withSettings = (command: Command): Command =>
  command
    .option("--draft <path>", "JSON of the whole draft, - for standard input; as `agents get --json` has it")
    .addOption(new Option("--access-mode <mode>", "who may use it").choices(accessModes))
    .option("--api-access", "it may be called through the API")
    .option("--no-api-access", "it may not");

const revised = (command: Command): Command =>
  command.option("--revision <revision>", "only if it is still the agent's, as you have seen it");

const seen = ({ revision }: Revision) => given({ ifRevision: revision });

function versionOrDraft(text: string): string {
  if (text !== "draft" && !/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("Expected a number, or draft.");
  return text;
}

function print(json: boolean, agent: Agent): void {
  const { draft, ...settings } = agent;
  printOne(json, json ? agent : { ...settings, ...draftFields(draft) });
}

/** What one wants to see of a draft at once; `--json` has all of it. */
const draftFields = ({ name, description, model, tools, agents }: AgentConfig) => ({
  name,
  description,
  model,
  tools: tools.map((tool) => tool.name).join(" "),
  agents: agents.join(" "),
});

function printVersion(json: boolean, found: AgentVersion): void {
  const { config: _, ...version } = found;
  printOne(json, json ? found : version);
}

function printDiff({ from, to, changes }: AgentDiff): void {
  if (changes.length === 0) write(`${from} and ${to} are the same\n`);
  for (const { path, before, after } of changes) {
    write(`${plain(path)}\n`);
    if (before !== undefined) write(styled("red", `- ${plain(JSON.stringify(before))}\n`));
    if (after !== undefined) write(styled("green", `+ ${plain(JSON.stringify(after))}\n`));
  }
}
