/** Runs for people: as a tree, and in what was said. */
import type { RunTree, Transcript } from "@callboard/client";
import { plain, styled, write } from "./output.ts";

/** A run and those that it has called, a line each, the called ones further in. */
export function printTree({ run, agent_slug, children }: RunTree, level: number): void {
  const { id, state, usage } = run;
  const tokens = `${usage.input_tokens} tokens in, ${usage.output_tokens} out`;
  write(`${"  ".repeat(level)}${plain(agent_slug ?? "raw")} ${id} ${state} ${styled("dim", tokens)}\n`);
  for (const child of children) printTree(child, level + 1);
}

export function printTranscript({ prompt, input, steps }: Transcript): void {
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
