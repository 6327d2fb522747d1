/** What starts a run: rights, variables, files and attribution, the same for every route that does. */
import {
  type AgentConfig,
  CallboardError,
  type ContentPart,
  type FieldProblem,
  type File,
  type FileId,
  type ThreadAnswer,
  type ThreadId,
  toUuid,
  type UserId,
  type VariableValue,
} from "@callboard/protocol";
import { attributeTo, type Caller, findPerson, principalId } from "../access/index.ts";
import { type CallableAgent, renderInstructions, resolveVariables } from "../agents/index.ts";
import { newEvent } from "../events/index.ts";
import { type FileRow, findFile, moveFiles, toFile } from "../files/index.ts";
import { type IdempotencyKey, StaleAccess, type StartRequest, startThread } from "../runs/index.ts";
import type { CallWorld } from "./world.ts";

/**
 * The agent, callable by this caller at the epoch the caller was read at.
 *
 * @throws not_found, agent_not_published, api_access_disabled, forbidden; StaleAccess
 */
export async function callable(world: CallWorld, caller: Caller, agentIdOrSlug: string): Promise<CallableAgent> {
  let agent: CallableAgent;
  try {
    agent = await world.agents.forCall(caller, agentIdOrSlug);
  } catch (error) {
    if (error instanceof CallboardError && error.code === "not_found") void noteHidden(world, caller, agentIdOrSlug);
    throw error;
  }
  if (agent.epoch > caller.epoch) throw new StaleAccess();
  return agent;
}

/** That an agent which is there stays hidden from a service without it in its list is audited, and not waited for. */
async function noteHidden({ agents, refusals }: CallWorld, caller: Caller, agentIdOrSlug: string): Promise<void> {
  const facts = await agents.facts(caller, agentIdOrSlug).catch(() => undefined);
  if (facts === undefined) return;
  const entry = { actor: { caller }, action: "agent.call", target: facts.id, requestId: null } as const;
  await refusals.note({ ...entry, code: "not_found" });
}

/** @throws attribution_not_allowed */
async function attributed(
  world: CallWorld,
  caller: Caller,
  userId: UserId | undefined,
  agent: CallableAgent,
): Promise<StartRequest["attributed"]> {
  if (userId === undefined) return null;
  const person = await findPerson(world.database, caller.organizationId, userId);
  attributeTo(caller, person, agent.facts);
  return person === undefined ? null : { id: userId, email: person.email, groups: person.groups };
}

/** @throws invalid_variables */
export function render(
  config: AgentConfig,
  given: Record<string, VariableValue> | undefined,
): { prompt: string; variables: Record<string, VariableValue> } {
  const { values } = resolveVariables(config.variables, given ?? {});
  return { prompt: renderInstructions(config.instructions, values, config.variables), variables: { ...values } };
}

/** Ids of the files a message names. */
export const filesIn = (content: readonly ContentPart[] | null): FileId[] =>
  (content ?? []).flatMap((part) => (part.type === "file" ? [part.file_id] : []));

/**
 * The files of a new thread: uploaded by this caller to this agent and in no thread yet.
 *
 * @throws file_not_attachable
 */
async function newThreadFiles(
  world: CallWorld,
  caller: Caller,
  agent: CallableAgent,
  ids: readonly FileId[],
): Promise<StartRequest["files"]> {
  if (ids.length === 0) return null;
  const unique = [...new Set(ids)];
  const organization = toUuid(caller.organizationId);
  const rows: FileRow[] = [];
  for (const id of unique) {
    const row = await findFile(world.database, organization, toUuid(id));
    if (row === undefined || !isOwnUpload(row, caller) || row.agent_id !== toUuid(agent.agentId))
      throw notAttachable(id);
    rows.push(row);
  }
  return {
    added: rows.map((row) => (threadId: ThreadId, at: string) => {
      const file: File = { ...toFile(row), thread_id: threadId };
      return newEvent(threadId, null, "file.added", { file }, at);
    }),
    move: async (tx, thread) => {
      const moved = await moveFiles(
        tx,
        organization,
        rows.map((row) => row.id),
        thread.thread,
      );
      if (moved !== rows.length) throw notAttachable(unique[0] as FileId); // another thread was faster
    },
  };
}

export const isOwnUpload = (row: FileRow, caller: Caller): boolean =>
  row.thread_id === null && row.created_by_id === toUuid(principalId(caller)) && row.kind === "attachment";

export function notAttachable(id: FileId): CallboardError {
  const field: FieldProblem = { path: "file_id", message: `${id} is not a file this caller may attach here` };
  return new CallboardError("file_not_attachable", field.message, { fields: [field] });
}

export type Starting = {
  caller: Caller;
  agent: CallableAgent;
  attributedTo: UserId | undefined;
  content: ContentPart[] | null;
  files: readonly FileId[];
  title: string | null;
  ref: string | null;
  variables: Record<string, VariableValue> | undefined;
  metadata: Record<string, string>;
  idempotency: IdempotencyKey | null;
  present: (answer: ThreadAnswer) => { status: number; text: string };
};

/** Creates a thread of an agent, with its first run when there is content. */
export async function start(world: CallWorld, starting: Starting): Promise<{ answer: ThreadAnswer; text: string }> {
  const { caller, agent, content } = starting;
  const { prompt, variables } = render(agent.config, starting.variables);
  const started = await startThread(
    { ...world, wakeQueue: () => world.wakes.send("queue", "") },
    {
      caller,
      agent: { id: agent.agentId, version: agent.version },
      config: null,
      attributed: await attributed(world, caller, starting.attributedTo, agent),
      content,
      title: starting.title,
      ref: starting.ref,
      prompt,
      variables,
      metadata: starting.metadata,
      files: await newThreadFiles(world, caller, agent, [...starting.files, ...filesIn(content)]),
      idempotency: starting.idempotency,
      present: starting.present,
    },
  );
  world.threads.remember(caller.organizationId, started.answer.thread);
  return started;
}
