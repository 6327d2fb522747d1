import { Argument, type Command, Option } from "commander";
import type { ContextOf } from "../context.ts";
import { followOnTerminal } from "../follow.ts";
import { wholeNumber } from "../options.ts";
import { printJson, printTable } from "../output.ts";

const decisions = ["allow_once", "allow_for_thread", "deny"] as const;
const onActiveRuns = ["enqueue", "reject", "interrupt", "steer"] as const;
type Decision = (typeof decisions)[number];

export function addEventCommands(program: Command, contextOf: ContextOf): void {
  const events = program.command("events").description("the log of a thread");

  events
    .command("follow <thread>")
    .description("print the log as it grows, until Ctrl-C")
    .option("--after <seq>", "begin after this entry", wholeNumber, 0)
    .action((threadId: string, { after }: { after: number }, command: Command) =>
      followOnTerminal(contextOf(command), threadId, { afterSeq: after }),
    );

  events
    .command("send <thread> <text>")
    .description("send a message")
    .addOption(new Option("--on-active-run <what>", "what to do while a run is active").choices(onActiveRuns))
    .action(
      async (
        threadId: string,
        text: string,
        { onActiveRun }: { onActiveRun?: (typeof onActiveRuns)[number] },
        command: Command,
      ) => {
        const { client, json } = contextOf(command);
        const answer = await client.events.send(threadId, { type: "user.message", text, on_active_run: onActiveRun });
        printSent(json, answer);
      },
    );

  events
    .command("decide <thread> <permission>")
    .description("answer a tool's request for permission")
    .addArgument(new Argument("<decision>", "what you decide").choices(decisions))
    .option("--message <text>", "a reason, for the agent")
    .action(
      async (
        threadId: string,
        permissionId: string,
        decision: Decision,
        { message }: { message?: string },
        command: Command,
      ) => {
        const { client, json } = contextOf(command);
        const answer = await client.events.send(threadId, {
          type: "permission.decision",
          permission_id: permissionId,
          decision,
          message,
        });
        printSent(json, answer);
      },
    );
}

type Sent = { events: { seq: number; type: string; run: { id: string; state: string } | null }[] };

function printSent(json: boolean, answer: Sent): void {
  if (json) {
    printJson(answer);
    return;
  }
  const rows = answer.events.map(({ seq, type, run }) => ({ seq, type, run: run?.id, state: run?.state }));
  printTable(["seq", "type", "run", "state"], rows);
}
