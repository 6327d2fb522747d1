/**
 * Runs without a saved agent, the same for REST and endpoints: what they work under, and where.
 *
 * R1  It takes a permission of its own (`rawRun`), beside the right to call an agent that is named.
 * R2  A named agent is a ceiling: its tools may be left out and asked about more strictly, its limits lowered;
 *     nothing is added. Who approves, and what follows an unknown outcome, stays the agent's.
 */
import {
  type AgentConfig,
  type ApprovalPolicy,
  agentConfig,
  CallboardError,
  type ContentPart,
  type ConversationMessage,
  type RawConfig,
  type RequestId,
  type Run,
  type ThreadId,
  toUuid,
  type VariableValue,
} from "@callboard/protocol";
import { type Caller, invalidRequest, rawRun } from "../access/index.ts";
import type { CallableAgent } from "../agents/index.ts";
import { type IdempotencyKey, type RunInput, startThread } from "../runs/index.ts";
import type { Transaction } from "../storage/index.ts";
import { toWrite } from "./reach.ts";
import { sendTo } from "./sending.ts";
import { callable, filesIn, notAttachable, render } from "./starting.ts";
import type { CallWorld } from "./world.ts";

export type RawAsked = {
  caller: Caller;
  requestId: RequestId | null;
  /** The last one is answered; those before are told as what was said so far. */
  messages: readonly ConversationMessage[];
  config: RawConfig;
  /** Id or slug: what `config` leaves out comes from its live version, on its thread from the thread's. */
  agent: string | undefined;
  /** One of that agent, or without one of an earlier raw run. Absent: a new one. */
  thread: string | undefined;
  variables: Record<string, VariableValue> | undefined;
};

/** A raw run that may be started. */
export type RawPlan = {
  readonly caller: Caller;
  readonly agent: CallableAgent | null;
  /** With the last number of its log. */
  readonly thread: { id: ThreadId; lastSeq: number } | null;
  readonly config: AgentConfig;
  readonly prompt: string;
  readonly variables: Record<string, VariableValue>;
  readonly history: RunInput[];
  readonly content: ContentPart[];
};

/**
 * @throws insufficient_scope, forbidden; not_found and the other refusals of a call of the agent; invalid_variables,
 *   draft_invalid, invalid_request; StaleAccess
 */
export async function planRaw(world: CallWorld, asked: RawAsked): Promise<RawPlan> {
  const { caller, messages, config: given } = asked;
  rawRun(caller);
  const agent = asked.agent === undefined ? null : await callable(world, caller, asked.agent);
  const { thread, version } = await threadOf(world, asked, agent);
  const base = version ?? agent?.config;
  const config = agentConfig.parse({
    ...base,
    name: "raw",
    ...given,
    ...(base === undefined ? {} : within(base, given)),
  });
  await world.checkConfig(caller, config);
  const last = messages.at(-1) as ConversationMessage; // the schema asks for one
  const [file] = thread === null ? filesIn(last.content) : [];
  if (file !== undefined) throw notAttachable(file); // there is no place to upload to before
  const history = messages
    .slice(0, -1)
    .map(({ role, content }) => ({ content, seq: 0, ...(role === "user" ? {} : { role }) }));
  return { caller, agent, thread, config, ...render(config, asked.variables), history, content: last.content };
}

async function threadOf(
  world: CallWorld,
  { caller, requestId, thread }: RawAsked,
  agent: CallableAgent | null,
): Promise<{ thread: RawPlan["thread"]; version?: AgentConfig }> {
  if (thread === undefined) return { thread: null };
  const { id } = await toWrite(world, { caller, requestId }, thread);
  const row = await world.threads.row(caller.organizationId, id);
  if (row === undefined || row.agent_id !== (agent === null ? null : toUuid(agent.agentId))) {
    const of = agent === null ? "raw runs" : "this agent";
    throw new CallboardError("not_found", `there is no such thread of ${of} for this caller`);
  }
  const place = { id, lastSeq: row.last_seq };
  if (agent === null || row.agent_version === null) return { thread: place };
  return {
    thread: place,
    version: await world.agents.version(caller.organizationId, agent.agentId, row.agent_version),
  };
}

/** R2: what an agent allows, as far as it is asked for. */
function within(
  base: AgentConfig,
  { tools, limits }: RawConfig,
): Pick<AgentConfig, "tools" | "limits" | "approvals" | "unknown_outcome"> {
  const granted = new Map(base.tools.map((tool) => [tool.name, tool]));
  const asked = (tools ?? base.tools).map(({ name, approval }, i) => {
    const tool = granted.get(name);
    if (tool === undefined) {
      throw invalidRequest([{ path: `config.tools[${i}].name`, message: `the agent has no tool ${name}` }]);
    }
    return { name, approval: stricter(tool.approval, approval) };
  });
  const lowered = { ...base.limits };
  for (const [name, value] of Object.entries(limits ?? {}) as Array<[keyof typeof lowered, number | undefined]>) {
    if (value !== undefined) lowered[name] = Math.min(value, lowered[name] ?? value);
  }
  return { tools: asked, limits: lowered, approvals: base.approvals, unknown_outcome: base.unknown_outcome };
}

/** A policy that asks whenever one of the two does. */
function stricter(one: ApprovalPolicy, other: ApprovalPolicy): ApprovalPolicy {
  if (one === "never") return other;
  if (other === "never") return one;
  return one === "always" || other === "always" ? "always" : { when: { any: [one.when, other.when] } };
}

/** Opens a thread with the run. @throws StaleAccess, AlreadyAnswered */
export async function startRaw(
  world: CallWorld,
  plan: RawPlan,
  metadata: Record<string, string>,
  idempotency: IdempotencyKey | null,
): Promise<{ run: Run; text: string }> {
  const { caller, agent, config, prompt, variables, history, content } = plan;
  const { answer, text } = await startThread(
    { ...world, wakeQueue: () => world.wakes.send("queue", "") },
    {
      caller,
      agent: agent === null ? null : { id: agent.agentId, version: agent.version },
      config,
      attributed: null,
      history,
      content,
      title: null,
      ref: null,
      prompt,
      variables,
      metadata,
      files: null,
      idempotency,
      present: ({ run }) => ({ status: 202, text: JSON.stringify(run) }),
    },
  );
  return { run: answer.run as Run, text };
}

/** Adds the run to its thread. @throws StaleAccess and what `sendTo` refuses */
export async function sendRaw(world: CallWorld, tx: Transaction, plan: RawPlan): Promise<Run> {
  const { caller, thread, config, prompt, history, content } = plan;
  const event = { type: "user.message" as const, content, on_active_run: "enqueue" as const };
  const id = (thread as NonNullable<RawPlan["thread"]>).id;
  const { events } = await sendTo(world, tx, caller, id, [event], { raw: { config, prompt, history } });
  return events[0]?.run as Run;
}
