import { type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { agentId, namesOf } from "../names.ts";
import { given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printJson, printTable } from "../output.ts";

type TotalOptions = { by?: "agent" | "user" | "model" | "day"; from?: string; to?: string };

export function addUsageCommands(program: Command, contextOf: ContextOf): void {
  const usage = program.command("usage").description("what model calls used, and what they cost");

  usage
    .command("totals", { isDefault: true })
    .description("sums of the last 30 days, or of another time")
    .addOption(new Option("--by <group>", "one line for each").choices(["agent", "user", "model", "day"]))
    .option("--from <time>", "RFC 3339, like 2026-01-01T00:00:00Z")
    .option("--to <time>", "RFC 3339; default now")
    .action(async ({ by, from, to }: TotalOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const totals = await client.usage.totals(given({ group_by: by, from, to }));
      if (json) return printJson(totals);
      const names = by === "agent" || by === "user" ? await namesOf(client, by) : new Map<string, string>();
      const data = totals.data.map((row) => ({ ...row, key: names.get(row.key ?? "") ?? row.key }));
      printTable(["key", "runs", "calls", "input_tokens", "output_tokens", "cost_micros"], data);
    });

  paged(usage.command("calls"))
    .description("model calls, newest first")
    .option("--agent <agent>", "only of this agent, by id or slug")
    .option("--run <run>", "only of this run")
    .action(async (options: PageOptions & { agent?: string; run?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      const agent_id = options.agent && (await agentId(client, options.agent));
      const filter = given({ agent_id, run_id: options.run });
      const page = await listed(options, (at) => client.usage.calls({ ...at, ...filter }));
      const columns = ["created_at", "run_id", "provider", "model", "input_tokens", "output_tokens", "cost_micros"];
      printPage(json, page, columns as ["created_at"]);
    });
}
