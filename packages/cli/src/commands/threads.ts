import type { Command } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { followOnTerminal } from "../follow.ts";
import { toUpload } from "../local-file.ts";
import { collect, type PageOptions, paged, pageOf, printPage } from "../options.ts";
import { printFields, printJson } from "../output.ts";
import { parseVariables } from "../variables.ts";

type CreateOptions = { file?: string[]; var?: string[]; ref?: string; follow?: boolean };
type ListOptions = PageOptions & { ref?: string };

export function addThreadCommands(program: Command, contextOf: ContextOf): void {
  const threads = program.command("threads").description("conversations and jobs of agents");

  threads
    .command("create <agent> [text]")
    .description("create a thread; with a text, its first run starts at once")
    .option("--file <path>", "attach a file (repeatable)", collect)
    .option("--var <NAME=value>", "set a variable; NAME:=json for numbers and booleans (repeatable)", collect)
    .option("--ref <reference>", "your own reference for the thread")
    .option("--follow", "print what happens until the run has ended")
    .action((agent: string, text: string | undefined, options: CreateOptions, command: Command) =>
      createThread(contextOf(command), agent, text, options),
    );

  paged(threads.command("list <agent>"))
    .description("list the agent's threads, newest first")
    .option("--ref <reference>", "only those with this reference of yours")
    .action(async (agent: string, options: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const page = await client.threads.list(agent, { ...pageOf(options), client_external_ref: options.ref });
      printPage(json, page, ["id", "state", "title", "client_external_ref", "updated_at"]);
    });

  threads
    .command("get <thread>")
    .description("retrieve a thread with its latest run")
    .action(async (threadId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      const answer = await client.threads.get(threadId);
      if (json) return printJson(answer);
      printFields({ ...answer.thread, last_run_state: answer.run?.state ?? null });
    });
}

async function createThread(
  context: Context,
  agent: string,
  text: string | undefined,
  options: CreateOptions,
): Promise<void> {
  const { client, json } = context;
  if (options.follow && text === undefined)
    throw new UsageError("expected a text with --follow: without it nothing runs");
  const variables = parseVariables(options.var ?? []);
  const uploads = await Promise.all((options.file ?? []).map((path) => toUpload(path)));
  const files = await Promise.all(uploads.map((upload) => client.files.uploadToAgent(agent, upload)));
  const fileIds = files.map((file) => file.id);
  const fileParts = fileIds.map((file_id) => ({ type: "file" as const, file_id }));
  const created = await client.threads.create(agent, {
    ...(text === undefined ? {} : { input: { type: "user.message", content: [{ type: "text", text }, ...fileParts] } }),
    ...(fileIds.length > 0 ? { files: fileIds } : {}),
    ...(options.var ? { variables } : {}),
    ...(options.ref === undefined ? {} : { client_external_ref: options.ref }),
  });
  if (options.follow && created.run) {
    return followOnTerminal(context, created.thread.id, { until: created.run.id });
  }
  if (json) return printJson(created);
  printFields({ thread: created.thread.id, run: created.run?.id, state: created.run?.state ?? created.thread.state });
}
