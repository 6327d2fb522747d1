import { type Command, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { type PageOptions, paged, pageOf, printPage, wholeNumber } from "../options.ts";
import { printFields, printJson, printTable } from "../output.ts";

type TotalOptions = { by?: "agent" | "user" | "model" | "day"; from?: string; to?: string };
type BudgetOptions = {
  agent?: string;
  user?: string;
  eachUser?: boolean;
  serviceToken?: string;
  period: "day" | "month";
  micros?: number;
  tokens?: number;
};

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
      const totals = await client.usage.totals({
        ...(by === undefined ? {} : { group_by: by }),
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      });
      if (json) return printJson(totals);
      printTable(["key", "runs", "calls", "input_tokens", "output_tokens", "cost_micros"], totals.data);
    });

  paged(usage.command("calls"))
    .description("model calls, newest first")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const columns = ["created_at", "run_id", "provider", "model", "input_tokens", "output_tokens", "cost_micros"];
      printPage(json, await client.usage.calls(pageOf(options)), columns as ["created_at"]);
    });

  const budgets = program.command("budgets").description("limits for a day or a month on what model calls cost");

  budgets
    .command("create")
    .description("set a budget; without --agent, --user, --each-user or --service-token for the organization")
    .option("--agent <id>", "counts one agent")
    .option("--user <id>", "counts one person")
    .option("--each-user", "gives every person this budget")
    .option("--service-token <id>", "counts one service token")
    .addOption(new Option("--period <period>", "what it lasts for").choices(["day", "month"]).default("month"))
    .option("--micros <n>", "micro-dollars", wholeNumber)
    .option("--tokens <n>", "input and output tokens together", wholeNumber)
    .action((options: BudgetOptions, command: Command) => createBudget(contextOf(command), options));

  paged(budgets.command("list"))
    .description("list budgets with what the current period has used")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.budgets.list(pageOf(options));
      if (json) return printJson(page);
      const data = page.data.map(({ subject, used, ...budget }) => ({
        ...budget,
        subject: "id" in subject ? `${subject.kind} ${subject.id}` : subject.kind,
        used_micros: used?.micros,
        used_tokens: used?.tokens,
      }));
      const columns = [
        "id",
        "subject",
        "period",
        "limit_micros",
        "used_micros",
        "limit_tokens",
        "used_tokens",
      ] as const;
      printPage(json, { ...page, data }, columns);
    });

  budgets
    .command("delete <id>")
    .description("end a budget")
    .action(async (id: string, _: unknown, command: Command) => {
      await contextOf(command).client.budgets.delete(id);
    });
}

async function createBudget({ client, json }: Context, options: BudgetOptions): Promise<void> {
  const budget = await client.budgets.create({
    subject: subjectOf(options),
    period: options.period,
    ...(options.micros === undefined ? {} : { limit_micros: options.micros }),
    ...(options.tokens === undefined ? {} : { limit_tokens: options.tokens }),
  });
  if (json) return printJson(budget);
  const { id, period, limit_micros, limit_tokens } = budget;
  printFields({ id, period, limit_micros, limit_tokens });
}

function subjectOf({ agent, user, eachUser, serviceToken }: BudgetOptions) {
  if (agent !== undefined) return { kind: "agent" as const, id: agent };
  if (user !== undefined) return { kind: "user" as const, id: user };
  if (serviceToken !== undefined) return { kind: "token" as const, id: serviceToken };
  return { kind: eachUser === true ? ("each_user" as const) : ("organization" as const) };
}
