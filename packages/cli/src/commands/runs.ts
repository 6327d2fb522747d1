import type { Run, RunTree, Transcript } from "@callboard/client";
import type { Command } from "commander";
import type { ContextOf } from "../context.ts";
import { plain, printFields, printJson, styled, write } from "../output.ts";

export function addRunCommands(program: Command, contextOf: ContextOf): void {
  const runs = program.command("runs").description("pieces of work on threads");
  const print = (json: boolean, run: Run) => (json ? printJson(run) : printFields(run));

  runs
    .command("get <run>")
    .description("retrieve a run")
    .action(async (runId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.runs.get(runId));
    });

  runs
    .command("cancel <run>")
    .description("ask a run to stop")
    .action(async (runId: string, _: unknown, command: Command) => {
      const { client, json } = contextOf(command);
      print(json, await client.runs.cancel(runId));
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

function printTree({ run, agent_slug, children }: RunTree, level: number): void {
  const { id, state, usage } = run;
  const tokens = `${usage.input_tokens} tokens in, ${usage.output_tokens} out`;
  write(`${"  ".repeat(level)}${plain(agent_slug ?? "raw")} ${id} ${state} ${styled("dim", tokens)}\n`);
  for (const child of children) printTree(child, level + 1);
}

function printTranscript({ prompt, input, steps }: Transcript): void {
  section("prompt", prompt);
  for (const message of input) section("user", contentText(message));
  for (const step of steps) {
    for (const message of step.joined) section("user", contentText(message));
    const title = `step ${step.step}, ${step.model}, ${step.finish_reason}`;
    if (step.thinking) section(`${title}: thinking`, step.thinking);
    section(title, step.text);
    for (const { tool, state, input, output } of step.tool_calls) {
      section(
        `tool ${tool}, ${state}`,
        `${JSON.stringify(input)}\n${output === undefined ? "" : JSON.stringify(output)}`,
      );
    }
  }
}

function section(title: string, text: string): void {
  write(`${styled("dim", `── ${plain(title)}`)}\n${text === "" ? "" : `${plain(text).trimEnd()}\n`}\n`);
}

const contentText = ({ content }: Transcript["input"][number]): string =>
  content.map((part) => (part.type === "text" ? part.text : `[file ${part.file_id}]`)).join("\n");
