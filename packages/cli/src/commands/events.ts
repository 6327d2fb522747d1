import type { EventType } from "@callboard/client";
import { type Command, Option } from "commander";
import type { Context, ContextOf } from "../context.ts";
import { createEventPrinter } from "../event-printer.ts";
import { followOnTerminal } from "../follow.ts";
import { readJsonFile } from "../json-input.ts";
import { toUpload } from "../local-file.ts";
import { collect, given, wholeNumber } from "../options.ts";
import { printJson, printTable, write } from "../output.ts";

const onActiveRuns = ["enqueue", "reject", "interrupt", "steer"] as const;
type ListOptions = { afterSeq: number; limit?: number; type?: string[] };
type FollowOptions = { afterSeq: number; untilRun?: string };
type SendOptions = { onActiveRun?: (typeof onActiveRuns)[number]; file?: string[]; follow?: boolean; batch?: string };

export function addEventCommands(program: Command, contextOf: ContextOf): void {
  const events = program.command("events").description("the log of a thread");

  events
    .command("list <thread>")
    .description("print a part of the log, oldest first")
    .option("--after-seq <n>", "number of the last entry you have", wholeNumber, 0)
    .option("--limit <n>", "entries, 1 to 1000 (default: 100)", wholeNumber)
    .option("--type <type>", "only entries of this type, like run.completed (repeatable)", collect)
    .action(async (threadId: string, { afterSeq, limit, type }: ListOptions, command: Command) => {
      const { client, json } = contextOf(command);
      const query = { after_seq: afterSeq, ...given({ limit, types: type as EventType[] | undefined }) };
      const page = await client.events.list(threadId, query);
      if (json) return printJson(page);
      const print = createEventPrinter(write);
      for (const event of page.data) print(event);
      const last = page.data.at(-1)?.seq;
      if (page.next_cursor !== null) process.stderr.write(`there are more: --after-seq ${last}\n`);
    });

  events
    .command("follow <thread>")
    .description("print the log as it grows, until Ctrl-C; a broken connection is made again without a gap")
    .option("--after-seq <n>", "number of the last entry you have", wholeNumber, 0)
    .option("--until-run <run>", "end with this run; exit code 3 when it fails or is canceled")
    .action((threadId: string, { afterSeq, untilRun }: FollowOptions, command: Command) =>
      followOnTerminal(contextOf(command), threadId, { afterSeq, until: untilRun }),
    );

  events
    .command("send <thread> [text]")
    .description("send a message, or several events at once")
    .option(
      "--batch <path>",
      "JSON list of events in the place of a text, taken whole or not at all; - for standard input",
    )
    .addOption(new Option("--on-active-run <what>", "what to do while a run is active").choices(onActiveRuns))
    .option("--file <path>", "attach a file (repeatable)", collect)
    .option("--follow", "print what happens until the run has ended")
    .action((threadId: string, text: string | undefined, options: SendOptions, command: Command) => {
      if ((text === undefined) === (options.batch === undefined)) {
        command.error("error: expected one of a text and --batch");
      }
      return send(contextOf(command), threadId, text ?? "", options);
    });

  events
    .command("interrupt <thread>")
    .description("stop the thread's active run")
    .option("--run <run>", "only if it is this one")
    .action(async (threadId: string, { run }: { run?: string }, command: Command) => {
      const { client, json } = contextOf(command);
      type Body = Parameters<typeof client.events.send>[1];
      const interrupt = { type: "user.interrupt", ...given({ run_id: run }) } as Body;
      printSent(json, await client.events.send(threadId, interrupt));
    });
}

async function send(context: Context, threadId: string, text: string, options: SendOptions): Promise<void> {
  const { client, json } = context;
  if (options.batch !== undefined) {
    const events = (await readJsonFile(options.batch)) as Batch;
    return printSent(json, await client.events.send(threadId, { events }));
  }
  const uploads = await Promise.all((options.file ?? []).map((path) => toUpload(path)));
  const files = await Promise.all(uploads.map((upload) => client.files.uploadToThread(threadId, upload)));
  const answer = await client.events.send(threadId, {
    type: "user.message",
    content: [{ type: "text", text }, ...files.map(({ id }) => ({ type: "file" as const, file_id: id }))],
    on_active_run: options.onActiveRun,
  });
  const [sent] = answer.events;
  if (options.follow !== true || sent?.run == null) return printSent(json, answer);
  await followOnTerminal(context, threadId, { afterSeq: sent.seq - 1, until: sent.run.id });
}

/** The server says what is wrong with it. */
type Batch = Extract<Parameters<Context["client"]["events"]["send"]>[1], { events: unknown }>["events"];
type Sent = { events: { seq: number; type: string; run: { id: string; state: string } | null }[] };

function printSent(json: boolean, answer: Sent): void {
  if (json) {
    printJson(answer);
    return;
  }
  const rows = answer.events.map(({ seq, type, run }) => ({ seq, type, run: run?.id, state: run?.state }));
  printTable(["seq", "type", "run", "state"], rows);
}
