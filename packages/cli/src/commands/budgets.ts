import type { Budget, CallboardClient } from "@callboard/client";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { ContextOf } from "../context.ts";
import { agentId, userId } from "../names.ts";
import { changes, given, listed, numberOr, type PageOptions, paged, printPage } from "../options.ts";
import { printJson, printOne } from "../output.ts";

type Limits = { micros?: number | "none"; tokens?: number | "none"; action?: "stop" | "ask" };
type CreateOptions = Limits & {
  agent?: string;
  user?: string;
  eachUser?: boolean;
  serviceToken?: string;
  period: "day" | "month";
};
type Subject = Parameters<CallboardClient["budgets"]["create"]>[0]["subject"];

export function addBudgetCommands(program: Command, contextOf: ContextOf): void {
  const budgets = program.command("budgets").description("limits for a day or a month on what model calls cost");

  withLimits(budgets.command("create"))
    .description("set a budget; without --agent, --user, --each-user or --service-token for the organization")
    .option("--agent <agent>", "counts one agent, by id or slug")
    .option("--user <user>", "counts one person, by email or id")
    .option("--each-user", "gives every person this budget")
    .option("--service-token <token>", "counts one service token")
    .addOption(new Option("--period <period>", "what it lasts for").choices(["day", "month"]).default("month"))
    .action(async (options: CreateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const subject = await subjectOf(client, options);
      print(json, await client.budgets.create({ subject, period: options.period, ...limitsOf(options) }));
    });

  paged(budgets.command("list"))
    .description("list budgets with what the current period has used")
    .action(async (options: PageOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await listed(options, client.budgets.list);
      if (json) return printJson(page);
      const columns = ["subject", "period", "limit_micros", "used_micros", "limit_tokens", "used_tokens"] as const;
      printPage(json, { ...page, data: page.data.map(row) }, ["id", ...columns, "action"]);
    });

  withLimits(budgets.command("update <budget>"))
    .description("change a budget's limits, or what follows at the limit")
    .action(async (id: string, options: Limits, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.budgets.update(id, changes(command, limitsOf(options))));
    });

  confirming(budgets.command("delete <budget>"))
    .description("end a budget")
    .action(async (id: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      if (await confirmed(`end budget ${id}`, options, json)) await client.budgets.delete(id);
    });
}

const withLimits = (command: Command): Command =>
  command
    .option("--micros <n>", "micro-dollars, or none for no such limit", numberOr("none"))
    .option("--tokens <n>", "input and output tokens together, or none for no such limit", numberOr("none"))
    .addOption(
      new Option("--action <what>", "at the limit: fail runs, or let them wait for an owner or admin").choices([
        "stop",
        "ask",
      ]),
    );

const limitOf = (limit: number | "none" | undefined) => (limit === "none" ? null : limit);
const limitsOf = ({ micros, tokens, action }: Limits) =>
  given({ limit_micros: limitOf(micros), limit_tokens: limitOf(tokens), action });

const row = ({ subject, used, ...budget }: Budget) => ({
  ...budget,
  subject: "id" in subject ? `${subject.kind} ${subject.id}` : subject.kind,
  used_micros: used?.micros,
  used_tokens: used?.tokens,
});

const print = (json: boolean, budget: Budget) => (json ? printJson(budget) : printOne(false, row(budget)));

async function subjectOf(client: CallboardClient, options: CreateOptions): Promise<Subject> {
  const { agent, user, eachUser, serviceToken } = options;
  if (agent !== undefined) return { kind: "agent", id: await agentId(client, agent) } as Subject;
  if (user !== undefined) return { kind: "user", id: await userId(client, user) } as Subject;
  if (serviceToken !== undefined) return { kind: "token", id: serviceToken } as Subject;
  return { kind: eachUser === true ? "each_user" : "organization" };
}
