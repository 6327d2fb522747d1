import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { changes, numberOr } from "../options.ts";
import { printOne } from "../output.ts";

type Limit = number | "default";
type UpdateOptions = {
  name?: string;
  membersEditAgents?: boolean;
  rawRuns?: boolean;
  requestsPerMinute?: Limit;
  runsAtOnce?: Limit;
};

export function addOrganizationCommands(program: Command, contextOf: ContextOf): void {
  const organization = program.command("organization").description("what owns agents, threads and tokens");

  organization
    .command("get")
    .description("retrieve the organization with its rules and limits")
    .action(async (_: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.organization.get());
    });

  organization
    .command("update")
    .description("rename the organization, or change its rules and limits")
    .option("--name <text>", "its name")
    .option("--members-edit-agents", "members may create and edit agents")
    .option("--no-members-edit-agents", "owners and admins alone may")
    .option("--raw-runs", "callers with the scope runs:raw may start runs without a saved agent")
    .option("--no-raw-runs", "nobody may")
    .option("--requests-per-minute <n>", "of all tokens together, or default for the server's", numberOr("default"))
    .option("--runs-at-once <n>", "queued or running, or default for the server's", numberOr("default"))
    .action(async (options: UpdateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const body = changes(command, {
        name: options.name,
        members_edit_agents: options.membersEditAgents,
        raw_runs: options.rawRuns,
        requests_per_minute: limitOf(options.requestsPerMinute),
        runs_at_once: limitOf(options.runsAtOnce),
      });
      printOne(json, await client.organization.update(body));
    });
}

const limitOf = (limit: Limit | undefined): number | null | undefined => (limit === "default" ? null : limit);
