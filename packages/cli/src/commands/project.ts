/** Commands that bring a project's files and a server together. */
import { createInterface } from "node:readline/promises";
import type { FoundAgent } from "@callboard/server";
import type { Command } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { exitCode, UsageError } from "../errors.ts";
import { plain, printJson, write } from "../output.ts";
import { applyPlans, type Done } from "../project/apply.ts";
import { describePlan, summarize } from "../project/describe.ts";
import { findAgents, findWithThreads } from "../project/found.ts";
import { inProject, loadFiles, type ProjectOptions, projectFolder } from "../project/load.ts";
import { toJson } from "../project/plan-json.ts";

type PlanOptions = ProjectOptions & { prune?: boolean };
type ApplyOptions = PlanOptions & { yes?: boolean };
type Plan = Awaited<ReturnType<typeof makePlan>>;

export function addProjectCommands(program: Command, contextOf: ContextOf, env: NodeJS.ProcessEnv): void {
  inProject(program.command("plan"))
    .description("show what `apply` would change; exit code 4 when it is something")
    .option("--prune", "also take away agents that have no file")
    .action(async (options: PlanOptions, command: Command) => {
      const context = contextOf(command);
      const plan = await makePlan(context, projectFolder(options, env), options.prune === true);
      if (context.json) printJson(toJson(plan.plans, plan.left));
      else printPlan(plan);
      if (hasChanges(plan)) process.exitCode = exitCode.changes;
    });

  inProject(program.command("apply"))
    .description("make the server's agents what the files in agents/ say, and publish what changed")
    .option("--prune", "also delete agents that have no file, or unpublish them when they have threads")
    .option("--yes", "do not ask before agents are taken away")
    .action(async (options: ApplyOptions, command: Command) => {
      const context = contextOf(command);
      const plan = await makePlan(context, projectFolder(options, env), options.prune === true);
      if (!context.json) printPlan(plan);
      if (options.yes !== true && !(await confirmed(plan, context.json))) return;
      const done: Done[] = [];
      await applyPlans(context.client, plan.plans, (one) => {
        done.push(one);
        if (!context.json) write(`${one.did} ${one.slug}${one.note === undefined ? "" : `: ${one.note}`}\n`);
      });
      if (context.json) printJson({ ...toJson(plan.plans, plan.left), done });
    });
}

async function makePlan({ client }: Context, folder: string, prune: boolean) {
  const files = await loadFiles(folder);
  const { planAgents, withoutFile } = await import("@callboard/server");
  const found = await findAgents(client);
  const left = withoutFile(files, found);
  const withThreads = prune ? await findWithThreads(client, left) : new Set<string>();
  return { plans: planAgents(files, found, { prune, withThreads }), left: prune ? [] : left };
}

const hasChanges = ({ plans }: Plan): boolean => plans.some(({ action }) => action !== "none");

function printPlan({ plans, left }: Plan): void {
  for (const plan of plans) {
    const lines = describePlan(plan);
    if (lines.length > 0) write(`${lines.join("\n")}\n\n`);
  }
  write(`${summarize(plans)}\n`);
  if (left.length > 0) write(`Without a file, and left alone without --prune: ${slugs(left)}.\n`);
}

const slugs = (agents: readonly FoundAgent[]): string => agents.map(({ agent }) => plain(agent.slug)).join(", ");

/** Asks a person, if agents are to be taken away. @throws UsageError when there is nobody to ask */
async function confirmed({ plans }: Plan, json: boolean): Promise<boolean> {
  const gone = plans.filter(({ action }) => action === "delete" || action === "unpublish").map(({ slug }) => slug);
  if (gone.length === 0) return true;
  if (json || !process.stdin.isTTY) throw new UsageError(`expected --yes, because this takes away ${gone.join(", ")}`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal
    .question(`Take away ${gone.join(", ")}? Only "yes" does it: `)
    .finally(() => terminal.close());
  if (answer.trim() === "yes") return true;
  write("Nothing was changed.\n");
  process.exitCode = exitCode.failed;
  return false;
}
