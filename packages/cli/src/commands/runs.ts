import type { CallboardClient, Run, RunState } from "@callboard/client";
import { type Command, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { exitCode } from "../errors.ts";
import { followOnTerminal, untilInterrupted } from "../follow.ts";
import { readJsonFile } from "../json-input.ts";
import { toUpload } from "../local-file.ts";
import { agentId } from "../names.ts";
import { collect, given, listed, type PageOptions, paged, printPage, wholeNumber } from "../options.ts";
import { printJson, printOne } from "../output.ts";
import { printTranscript, printTree } from "../run-printer.ts";
import { parseMetadata, parseVariables } from "../variables.ts";

const states = ["queued", "running", "waiting", "completed", "failed", "canceled"] as const satisfies RunState[];
const onActiveRuns = ["enqueue", "reject", "interrupt"] as const;
type Ending = { wait?: true; follow?: true };
type CreateOptions = Ending & {
  thread?: string;
  var?: string[];
  file?: string[];
  metadata?: string[];
  onActiveRun?: (typeof onActiveRuns)[number];
};
type RawOptions = Ending & {
  agent?: string;
  thread?: string;
  var?: string[];
  metadata?: string[];
  messages?: string;
  model?: string;
  modelId?: string;
  instructions?: string;
  config?: string;
};
type ListOptions = PageOptions & { state?: RunState; agent?: string; thread?: string; parent?: string };
type RawRun = Parameters<CallboardClient["runs"]["createRaw"]>[0];
type NewRun = Parameters<CallboardClient["runs"]["create"]>[1];

export function addRunCommands(program: Command, contextOf: ContextOf): void {
  const runs = program.command("runs").description("pieces of work on threads");

  ending(runs.command("create <agent> <text>"))
    .description("start a run on a new thread, or on one that is there")
    .option("--thread <thread>", "the thread")
    .option("--var <NAME=value>", "set a variable; NAME:=json for numbers and booleans (repeatable)", collect)
    .option("--file <path>", "attach a file (repeatable)", collect)
    .option("--metadata <name=value>", "a fact of your own (repeatable)", collect)
    .addOption(new Option("--on-active-run <what>", "what to do while a run is active").choices(onActiveRuns))
    .action(async (agent: string, text: string, options: CreateOptions, command: Command) => {
      const context = contextOf(command);
      const files = await attach(context.client, agent, options);
      const body = {
        input: { type: "user.message", content: [{ type: "text", text }, ...files] },
        ...given({
          thread_id: options.thread,
          on_active_run: options.onActiveRun,
          metadata: options.metadata && parseMetadata(options.metadata),
          variables: options.var && parseVariables(options.var),
        }),
      };
      await finish(context, await context.client.runs.create(agent, body as NewRun), options);
    });

  ending(runs.command("create-raw [text]"))
    .description("start a run without a saved agent; the organization has to allow it")
    .option("--agent <agent>", "what is not said here comes from this agent, by id or slug")
    .option("--thread <thread>", "a thread of that agent, or of an earlier raw run")
    .option("--model <connection>", "the model connection, by slug")
    .option("--model-id <id>", "the provider's name for the model")
    .option("--instructions <text>", "what the model is told first")
    .option("--messages <path>", "JSON of the conversation so far, in the place of a text; - for standard input")
    .option("--metadata <name=value>", "a fact of your own (repeatable)", collect)
    .option("--config <path>", "JSON of the whole configuration, - for standard input")
    .option("--var <NAME=value>", "set a variable of the agent; NAME:=json for numbers and booleans", collect)
    .action(async (text: string | undefined, options: RawOptions, command: Command) => {
      if ((text === undefined) === (options.messages === undefined)) {
        command.error("error: expected one of a text and --messages");
      }
      const context = contextOf(command);
      const model = given({ connection: options.model, id: options.modelId });
      const config = {
        ...((options.config === undefined ? {} : await readJsonFile(options.config)) as object),
        ...(Object.keys(model).length === 0 ? {} : { model }),
        ...given({ instructions: options.instructions }),
      };
      const body = {
        config,
        ...given({
          input: text === undefined ? undefined : { type: "user.message", text },
          messages: options.messages === undefined ? undefined : await readJsonFile(options.messages),
          metadata: options.metadata && parseMetadata(options.metadata),
          agent_id: options.agent,
          thread_id: options.thread,
          variables: options.var && parseVariables(options.var),
        }),
      };
      await finish(context, await context.client.runs.createRaw(body as RawRun), options);
    });

  paged(runs.command("list"))
    .description("list runs, newest first")
    .addOption(new Option("--state <state>", "only these").choices(states))
    .option("--agent <agent>", "only of this agent, by id or slug")
    .option("--thread <thread>", "only on this thread")
    .option("--parent <run>", "only those that this run has called")
    .action(async (options: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const { state, agent, thread, parent } = options;
      const agent_id = agent && (await agentId(client, agent));
      const filter = given({ state, agent_id, thread_id: thread, parent_run_id: parent });
      const page = await listed(options, (at) => client.runs.list({ ...at, ...filter }));
      printPage(json, page, ["id", "state", "agent_id", "thread_id", "trigger", "created_at", "ended_at"]);
    });

  runs
    .command("get <run>")
    .description("retrieve a run")
    .option("--wait <seconds>", "wait for its end, at most so long and at most 60", wholeNumber)
    .action(async (runId: string, { wait }: { wait?: number }, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.runs.get(runId, { waitSeconds: wait }));
    });

  runs
    .command("wait <run>")
    .description("retrieve a run once it has ended; exit code 3 when it failed or was canceled")
    .action(async (runId: string, _: unknown, command: Command) => {
      const context = contextOf(command);
      await untilInterrupted(context.json, async (signal) => {
        printEnded(context.json, await context.client.runs.wait(runId, { signal }));
      });
    });

  runs
    .command("cancel <run>")
    .description("ask a run to stop")
    .action(async (runId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      printOne(json, await client.runs.cancel(runId));
    });

  runs
    .command("tree <run>")
    .description("print a run with the runs it has called")
    .action(async (runId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const tree = await client.runs.tree(runId);
      if (json) printJson(tree);
      else printTree(tree, 0);
    });

  runs
    .command("transcript <run>")
    .description("print what the model was told and what it said")
    .action(async (runId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const transcript = await client.runs.transcript(runId);
      if (json) printJson(transcript);
      else printTranscript(transcript);
    });
}

const ending = (command: Command): Command =>
  command
    .option("--wait", "print the run once it has ended")
    .option("--follow", "print what happens until the run has ended");

async function attach(client: CallboardClient, agent: string, { thread, file = [] }: CreateOptions) {
  const uploads = await Promise.all(file.map((path) => toUpload(path)));
  const files = await Promise.all(
    uploads.map((upload) =>
      thread === undefined ? client.files.uploadToAgent(agent, upload) : client.files.uploadToThread(thread, upload),
    ),
  );
  return files.map(({ id }) => ({ type: "file", file_id: id }));
}

async function finish(context: Context, run: Run, { wait, follow }: Ending): Promise<void> {
  const { client, json } = context;
  if (follow === true) return followOnTerminal(context, run.thread_id, { until: run.id });
  if (wait !== true) return printOne(json, run);
  await untilInterrupted(json, async (signal) => printEnded(json, await client.runs.wait(run.id, { signal })));
}

function printEnded(json: boolean, run: Run): void {
  printOne(json, run);
  if (run.state !== "completed") process.exitCode = exitCode.runFailed;
}
