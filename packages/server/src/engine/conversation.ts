/** What a model is told: the thread's earlier runs, the messages this run answers, and its own steps. */
import { type ContentPart, toUuid } from "@callboard/protocol";
import { findFile, readBytes } from "../files/index.ts";
import type { AssistantPart, ModelMessage, UserPart } from "../models/index.ts";
import {
  callsOf,
  openCall,
  openStep,
  type PastRun,
  pastRuns,
  type RunInput,
  type RunRow,
  type StoredCall,
  type StoredStep,
  steeringAfter,
  stepsOf,
} from "../runs/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import type { Sql } from "../storage/index.ts";

/** Earlier runs of the thread that are told to the model. */
const PAST_RUNS = 100;
/** Bytes of all files of one conversation that are sent along. */
const MAX_FILE_BYTES = 20 * 1024 * 1024;

export type Conversation = {
  messages: ModelMessage[];
  /** Bytes of files in it so far. */
  fileBytes: number;
};

/**
 * Reads a conversation back up to and without the run's own last step when that has open tool calls.
 *
 * @param objection what the run says back to one of its own answers; undefined when the answer stands
 */
export async function readConversation(
  sql: Sql,
  keys: SecretKeys,
  row: RunRow,
  objection: (answer: string) => string | undefined,
): Promise<{ conversation: Conversation; steps: StoredStep[]; calls: StoredCall[] }> {
  const past = await pastRuns(sql, row.organization_id, row.thread_id, row.queued_seq, PAST_RUNS);
  const ids = [...past.map((run) => run.id), row.id];
  const { organization_id: organization } = row;
  const steps = group((await stepsOf(sql, organization, ids)).map((step) => openStep(keys, organization, step)));
  const calls = group((await callsOf(sql, organization, ids)).map((call) => openCall(keys, organization, call)));
  const conversation: Conversation = { messages: [], fileBytes: 0 };
  for (const run of past) {
    const said = steps.get(run.id) ?? [];
    await addRun(sql, row, conversation, run, said, calls.get(run.id) ?? [], () => undefined);
    // A message may have joined a run that ended before it was read; this run reads it.
    if (run.state === "completed") continue;
    const unread = await steeringAfter(sql, row.organization_id, run.id, said.at(-1)?.steered ?? 0);
    await addInput(sql, row, conversation, unread);
  }
  const own = { steps: steps.get(row.id) ?? [], calls: calls.get(row.id) ?? [] };
  const self: PastRun = { id: row.id, input: row.input, state: row.state };
  await addRun(sql, row, conversation, self, own.steps, own.calls, objection);
  return { conversation, ...own };
}

/** Adds messages of people, and what a raw run's caller says that a model has said. */
export async function addInput(
  sql: Sql,
  row: { organization_id: string; thread_id: string },
  conversation: Conversation,
  input: readonly RunInput[],
): Promise<void> {
  for (const { role, content } of input) {
    if (role === "assistant") {
      conversation.messages.push({ role, content: content.filter((part) => part.type === "text"), provider: "" });
      continue;
    }
    const parts: UserPart[] = [];
    for (const part of content) parts.push(await toUserPart(sql, row, conversation, part));
    conversation.messages.push({ role: "user", content: parts });
  }
}

async function addRun(
  sql: Sql,
  row: RunRow,
  conversation: Conversation,
  run: PastRun,
  steps: readonly StoredStep[],
  calls: readonly StoredCall[],
  objection: (answer: string) => string | undefined,
): Promise<void> {
  await addInput(sql, row, conversation, run.input);
  for (const step of steps) {
    await addInput(sql, row, conversation, step.joined);
    const content = step.parts as AssistantPart[];
    if (content.length > 0) conversation.messages.push({ role: "assistant", content, provider: step.provider });
    const results = calls.filter((call) => call.step === step.step);
    // Open calls of the run itself get their results from the loop.
    if (run.id === row.id && results.some((call) => isOpen(call))) return;
    if (results.length > 0) conversation.messages.push({ role: "tool", results: results.map(toResult) });
    const said = results.length > 0 ? undefined : objection(answerOf(content));
    if (said !== undefined) conversation.messages.push({ role: "user", content: [{ type: "text", text: said }] });
  }
}

/** What a model answered, without its thinking. */
const answerOf = (parts: readonly AssistantPart[]): string =>
  parts.map((part) => (part.type === "text" ? part.text : "")).join("");

/** It has no result yet. An `unknown` one without a text is to be asked about. */
export const isOpen = (call: StoredCall): boolean =>
  call.state === "started" || call.state === "waiting" || (call.state === "unknown" && call.output_text === null);

/** What the model reads of a call that has ended, or that its run's end cut off. */
export function toResult(call: StoredCall): { callId: string; tool: string; isError: boolean; text: string } {
  return {
    callId: call.model_call_id,
    tool: call.tool,
    isError: call.state !== "completed",
    text: call.output_text ?? "The call was stopped before it had a result.",
  };
}

async function toUserPart(
  sql: Sql,
  row: { organization_id: string; thread_id: string },
  conversation: Conversation,
  part: ContentPart,
): Promise<UserPart> {
  if (part.type === "text") return { type: "text", text: part.text };
  const file = await findFile(sql, row.organization_id, toUuid(part.file_id));
  if (file === undefined || file.thread_id !== row.thread_id) {
    return { type: "text", text: `[The file ${part.file_id} was removed.]` };
  }
  if (conversation.fileBytes + file.size_bytes > MAX_FILE_BYTES) {
    return { type: "text", text: `[The file ${file.name} (${part.file_id}) is too large to be shown here.]` };
  }
  conversation.fileBytes += file.size_bytes;
  const chunks: Uint8Array[] = [];
  for await (const chunk of readBytes(sql, row.organization_id, file.blob_id)) chunks.push(chunk);
  return { type: "file", name: file.name, mediaType: file.media_type, bytes: Buffer.concat(chunks) };
}

function group<T extends { run_id: string }>(rows: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const list = groups.get(row.run_id);
    if (list === undefined) groups.set(row.run_id, [row]);
    else list.push(row);
  }
  return groups;
}
