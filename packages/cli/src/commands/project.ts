/** Commands that bring a project's files and a server together. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { CollectionPlan, FoundAgent } from "@callboard/server";
import type { Command } from "commander";
import { agentSource } from "../code/agent-source.ts";
import { typedHelpers } from "../code/typed-helpers.ts";
import { type ConfirmOptions, confirmed } from "../confirm.ts";
import type { Context, ContextOf } from "../context.ts";
import { exitCode } from "../errors.ts";
import { plain, printJson, write } from "../output.ts";
import { applyPlans, type Done } from "../project/apply.ts";
import { describePlan, summarize } from "../project/describe.ts";
import { describeCollection, summarizeCollections } from "../project/describe-documents.ts";
import { describeServer } from "../project/described.ts";
import { applyCollections, findDocuments } from "../project/documents.ts";
import { findAgents, findWithThreads, withLive } from "../project/found.ts";
import { inProject, loadCollections, loadFiles, type ProjectOptions, projectFolder } from "../project/load.ts";
import { toJson } from "../project/plan-json.ts";
import { readIfThere, type Saved, save } from "../source-file.ts";

/** `documents` is false for `--no-documents`. */
type PlanOptions = ProjectOptions & { prune?: boolean; pruneDocuments?: boolean; documents: boolean };
type ApplyOptions = PlanOptions & ConfirmOptions;
type ExportOptions = ProjectOptions & { out?: string; draft?: boolean; force?: boolean };
type GenerateOptions = ProjectOptions & { out?: string; check?: boolean };
type Plan = Awaited<ReturnType<typeof makePlan>>;

export function addProjectCommands(program: Command, contextOf: ContextOf, env: NodeJS.ProcessEnv): void {
  inPlan(program.command("plan"))
    .description("show what `apply` would change; exit code 4 when it is something")
    .action(async (options: PlanOptions, command: Command) => {
      const context = contextOf(command);
      const plan = await makePlan(context, projectFolder(options, env), options);
      if (context.json) printJson(toJson(plan.plans, plan.left, plan.collections));
      else printPlan(plan);
      if (hasChanges(plan)) process.exitCode = exitCode.changes;
    });

  inPlan(program.command("apply"))
    .description("make the server's agents and documents what the files say, and publish what changed")
    .option("--yes", "do not ask before something is taken away")
    .action(async (options: ApplyOptions, command: Command) => {
      const context = contextOf(command);
      const plan = await makePlan(context, projectFolder(options, env), options);
      if (!context.json) printPlan(plan);
      if (!(await mayTakeAway(plan, options, context.json))) return;
      const done: Done[] = [];
      const tell = (one: Done) => {
        done.push(one);
        if (!context.json) write(`${one.did} ${plain(one.slug)}${one.note === undefined ? "" : `: ${one.note}`}\n`);
      };
      // Before the agents, which are live as soon as they are published.
      if (plan.documents !== undefined) await applyCollections(context.client, plan.collections, plan.documents, tell);
      await applyPlans(context.client, plan.plans, tell);
      if (context.json) printJson({ ...toJson(plan.plans, plan.left, plan.collections), done });
    });

  inProject(program.command("export <agent>"))
    .description("write an agent of the server as a file, agents/<slug>.ts")
    .option("--out <folder>", "where to write it, or - for standard output (default: agents/ of the project)")
    .option("--draft", "the draft in the place of the live version")
    .option("--force", "write over a file that says something else")
    .action(async (agent: string, options: ExportOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const found = await withLive(client, await client.agents.get(agent));
      const source = exportOf(found, options.draft === true);
      if (options.out === "-") return write(source);
      const folder = options.out ?? join(projectFolder(options, env), "agents");
      report(await save(join(folder, `${found.agent.slug}.ts`), source, options.force === true), json);
    });

  inProject(program.command("generate"))
    .description("write what the server has as typed helpers: agents, tools, models and endpoints")
    .option("--out <path>", "where to write it, or - for standard output (default: callboard.gen.ts of the project)")
    .option("--check", "write nothing; exit code 4 when the file is out of date")
    .action(async (options: GenerateOptions, command: Command) => {
      const { client, json, baseUrl } = contextOf(command);
      const source = typedHelpers(await describeServer(client, baseUrl));
      if (options.out === "-") return write(source);
      const file = options.out ?? join(projectFolder(options, env), "callboard.gen.ts");
      if (options.check !== true) return report(await save(file, source, true), json);
      const outcome = (await readIfThere(file)) === source ? "unchanged" : "outdated";
      report({ file, outcome }, json);
      if (outcome === "outdated") process.exitCode = exitCode.changes;
    });
}

const inPlan = (command: Command): Command =>
  inProject(command)
    .option("--prune", "also delete agents that have no file, or unpublish them when they have threads")
    .option("--prune-documents", "also delete documents that have no file, in collections that have a folder")
    .option("--no-documents", "agents alone");

function exportOf({ agent, live }: FoundAgent, draft: boolean): string {
  const config = draft ? agent.draft : (live ?? agent.draft);
  if (!draft && live !== null && !isDeepStrictEqual(live, agent.draft)) {
    process.stderr.write(`this is version ${agent.live_version}; the draft differs: --draft\n`);
  }
  const { slug, access_mode, api_access } = agent;
  return agentSource({ slug, access_mode, api_access, draft: config });
}

function report(saved: Saved, json: boolean): void {
  if (json) printJson(saved);
  else write(`${saved.outcome} ${saved.file}\n`);
}

async function makePlan({ client }: Context, folder: string, options: PlanOptions) {
  const { prune = false, pruneDocuments = false } = options;
  const files = await loadFiles(folder);
  const folders = options.documents ? await loadCollections(folder) : [];
  const { planAgents, planCollections, withoutFile } = await import("@callboard/server");
  const found = await findAgents(client);
  const left = withoutFile(files, found);
  const withThreads = prune ? await findWithThreads(client, left) : new Set<string>();
  // A project without documents asks for none: its token need not be allowed to.
  const documents = folders.length === 0 ? undefined : await findDocuments(client, folders);
  const collections: CollectionPlan[] =
    documents === undefined
      ? []
      : planCollections(folders, documents.collections, documents.groups, { prune: pruneDocuments });
  const plans = planAgents(files, found, { prune, withThreads });
  return { plans, left: prune ? [] : left, collections, documents };
}

const hasChanges = ({ plans, collections }: Plan): boolean =>
  [...plans, ...collections].some(({ action }) => action !== "none");

function printPlan({ plans, left, collections }: Plan): void {
  for (const lines of [...plans.map(describePlan), ...collections.map(describeCollection)]) {
    if (lines.length > 0) write(`${lines.join("\n")}\n\n`);
  }
  write(`${summarize(plans)}\n`);
  if (collections.length > 0) write(`${summarizeCollections(collections)}\n`);
  if (left.length > 0) write(`Without a file, and left alone without --prune: ${slugs(left)}.\n`);
  const stay = collections.flatMap((one) => one.left.map((name) => `${one.slug}/${name}`));
  if (stay.length > 0) write(`Without a file, and left alone without --prune-documents: ${plain(stay.join(", "))}.\n`);
}

const slugs = (agents: readonly FoundAgent[]): string => agents.map(({ agent }) => plain(agent.slug)).join(", ");

/** Whether what is to be taken away may be, if anything is. */
async function mayTakeAway({ plans, collections }: Plan, options: ConfirmOptions, json: boolean): Promise<boolean> {
  const agents = plans.filter(({ action }) => action === "delete" || action === "unpublish").map(({ slug }) => slug);
  const documents = collections.flatMap((one) =>
    one.documents.flatMap(({ action, name }) => (action === "delete" ? [plain(`documents/${one.slug}/${name}`)] : [])),
  );
  const gone = [...agents, ...documents];
  return gone.length === 0 || confirmed(`take away ${gone.join(", ")}`, options, json);
}
