import type { Thread, ThreadState } from "@callboard/client";
import { type Command, Option } from "commander";
import { type ConfirmOptions, confirmed, confirming } from "../confirm.ts";
import type { Context, ContextOf } from "../context.ts";
import { UsageError } from "../errors.ts";
import { followOnTerminal } from "../follow.ts";
import { toUpload } from "../local-file.ts";
import { changes, collect, given, listed, type PageOptions, paged, printPage } from "../options.ts";
import { printFields, printJson, printOne } from "../output.ts";
import { parseMetadata, parseVariables } from "../variables.ts";

const states = ["idle", "running", "waiting"] as const satisfies ThreadState[];
type CreateOptions = {
  file?: string[];
  var?: string[];
  ref?: string;
  title?: string;
  metadata?: string[];
  attributedUser?: string;
  follow?: boolean;
};
type ListOptions = PageOptions & {
  ref?: string;
  state?: ThreadState;
  archived?: boolean;
  attributedUser?: string;
  children?: true;
};
type UpdateOptions = { title?: string | false; metadata?: string[] | false };

export function addThreadCommands(program: Command, contextOf: ContextOf): void {
  const threads = program.command("threads").description("conversations and jobs of agents");

  threads
    .command("create <agent> [text]")
    .description("create a thread; with a text, its first run starts at once")
    .option("--file <path>", "attach a file (repeatable)", collect)
    .option("--var <NAME=value>", "set a variable; NAME:=json for numbers and booleans (repeatable)", collect)
    .option("--title <text>", "the thread's title")
    .option("--ref <reference>", "your own reference for the thread")
    .option("--metadata <name=value>", "a fact of your own (repeatable)", collect)
    .option("--attributed-user <user>", "for whom a service token asks, by id")
    .option("--follow", "print what happens until the run has ended")
    .action((agent: string, text: string | undefined, options: CreateOptions, command: Command) =>
      createThread(contextOf(command), agent, text, options),
    );

  paged(threads.command("list <agent>"))
    .description("list the agent's threads, newest first")
    .addOption(new Option("--state <state>", "only these").choices(states))
    .option("--archived", "only those in the archive")
    .option("--no-archived", "only those outside of it")
    .option("--ref <reference>", "only those with this reference of yours")
    .option("--attributed-user <user>", "only those attributed to this user, by id")
    .option("--children", "also those that runs of other agents opened")
    .action(async (agent: string, options: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const filter = given({
        state: options.state,
        archived: options.archived,
        client_external_ref: options.ref,
        attributed_user_id: options.attributedUser,
        children: options.children,
      });
      const page = await listed(options, (at) => client.threads.list(agent, { ...at, ...filter }));
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

  threads
    .command("update <thread>")
    .description("rename a thread, or replace its metadata")
    .option("--title <text>", "its title")
    .option("--no-title", "take its title away")
    .option("--metadata <name=value>", "a fact of your own (repeatable); all others go", collect)
    .option("--no-metadata", "take all of them away")
    .action(async (threadId: string, { title, metadata }: UpdateOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const body = changes(command, {
        title: title === false ? null : title,
        metadata: metadata === false ? {} : metadata && parseMetadata(metadata),
      });
      printOne(json, await client.threads.update(threadId, body));
    });

  const move = (verb: "archive" | "unarchive", description: string) =>
    threads
      .command(`${verb} <thread>`)
      .description(description)
      .action(async (threadId: string, _: unknown, command: Command) => {
        const { client, json } = contextOf(command);
        const thread: Thread = await client.threads[verb](threadId);
        printOne(json, thread);
      });
  move("archive", "put a thread away: it can be read, and takes no messages");
  move("unarchive", "take a thread out of the archive");

  confirming(threads.command("delete <thread>"))
    .description("delete a thread with its events, files, runs, transcripts and jobs")
    .action(async (threadId: string, options: ConfirmOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const deed = `delete thread ${threadId} with all that is in it`;
      if (await confirmed(deed, options, json)) await client.threads.delete(threadId);
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
    ...given({
      title: options.title,
      client_external_ref: options.ref,
      metadata: options.metadata && parseMetadata(options.metadata),
      attributed_user_id: options.attributedUser,
    }),
  });
  if (options.follow && created.run) {
    return followOnTerminal(context, created.thread.id, { until: created.run.id });
  }
  if (json) return printJson(created);
  printFields({ thread: created.thread.id, run: created.run?.id, state: created.run?.state ?? created.thread.state });
}
