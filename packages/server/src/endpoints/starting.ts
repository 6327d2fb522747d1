/** What `runAgent` and `runAdHoc` start, and their options: nobody is named there, least of all a user. */
import {
  type AdHocMessage,
  type AgentDefinition,
  type AgentFile,
  type AgentRef,
  answerSchema,
  issuePath,
  type RunAgentOptions,
  type StandardSchema,
} from "@callboard/kit";
import {
  CallboardError,
  createRawRun,
  type RawConfig,
  type Run,
  type ThreadId,
  toUuid,
  userMessageInput,
  type VariableValue,
} from "@callboard/protocol";
import { type Caller, invalidRequest, requireStorable, scopeOf } from "../access/index.ts";
import { callable, planRaw, reserve, sendRaw, sendTo, start, startRaw, store, toWrite } from "../calls/index.ts";
import type { IdempotencyKey } from "../runs/index.ts";
import type { Transaction } from "../storage/index.ts";
import type { Call, EndpointWorld } from "./asked.ts";

/** A run and a place in its thread's log before its end. */
export type Started = { run: Run; afterSeq: number };

/** Starts the run for a caller, under a key or none. May be called again: nothing was written when it throws. */
export type Starter = (caller: Caller, key: IdempotencyKey | null) => Promise<Started>;

type Place = { world: EndpointWorld; call: Call };
type Variables = Record<string, VariableValue>;
export type AgentOptions = RunAgentOptions<Variables>;
/** The options of `runAdHoc`, whichever of them were given. */
export type AdHocOptions = {
  messages: readonly AdHocMessage[];
  tools?: AgentDefinition["tools"];
  model?: RawConfig["model"];
  instructions?: string;
  limits?: Partial<NonNullable<RawConfig["limits"]>>;
  output?: StandardSchema;
  agent?: AgentFile | AgentRef | string;
  variables?: Variables;
  thread?: ThreadId;
  signal?: AbortSignal;
};

const agentNames = ["message", "variables", "thread", "signal"] as const satisfies ReadonlyArray<keyof AgentOptions>;
const adHocNames = [
  "messages",
  "tools",
  "model",
  "instructions",
  "limits",
  "output",
  "agent",
  "variables",
  "thread",
  "signal",
] as const satisfies ReadonlyArray<keyof AdHocOptions>;

function checkNames(verb: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`${verb} takes ${known.join(", ")}; found ${unknown}`);
}

export function agentStarter({ world, call }: Place, slug: string, options: AgentOptions): Starter {
  checkNames("runAgent", options, agentNames);
  requireStorable({ message: options.message, variables: options.variables });
  const parsed = userMessageInput.safeParse({ type: "user.message", text: options.message });
  if (!parsed.success) {
    throw invalidRequest([{ path: "message", message: "expected text of 1 to 1,000,000 characters" }]);
  }
  const { content } = parsed.data;
  const { thread, variables } = options;
  return async (caller, key) => {
    const agent = await callable(world, caller, slug);
    if (thread === undefined) {
      const { answer } = await start(world, {
        caller,
        agent,
        attributedTo: undefined,
        content,
        files: [],
        title: null,
        ref: null,
        variables,
        metadata: {},
        idempotency: key,
        present: ({ run }) => ({ status: 202, text: JSON.stringify(run) }),
      });
      return { run: answer.run as Run, afterSeq: 0 };
    }
    const { id } = await toWrite(world, { caller, requestId: call.requestId }, thread);
    const row = await world.threads.row(caller.organizationId, id);
    if (row === undefined || row.agent_id !== toUuid(agent.agentId)) {
      throw new CallboardError("not_found", "there is no such thread of this agent for this caller");
    }
    const event = { type: "user.message" as const, content, on_active_run: "enqueue" as const };
    const run = await once(world, caller, key, id, async (tx) => {
      const { events } = await sendTo(world, tx, caller, id, [event], { variables });
      return events[0]?.run as Run;
    });
    return { run, afterSeq: row.last_seq };
  };
}

export function adHocStarter({ world, call }: Place, slug: string | undefined, options: AdHocOptions): Starter {
  checkNames("runAdHoc", options, adHocNames);
  const body = toBody(slug, options);
  return async (caller, key) => {
    const plan = await planRaw(world, {
      caller,
      requestId: call.requestId,
      messages: body.messages,
      config: body.config,
      agent: slug,
      thread: body.thread_id,
      variables: body.variables,
    });
    if (plan.thread === null) return { run: (await startRaw(world, plan, {}, key)).run, afterSeq: 0 };
    const run = await once(world, caller, key, plan.thread.id, (tx) => sendRaw(world, tx, plan));
    return { run, afterSeq: plan.thread.lastSeq };
  };
}

/** The options as the body of `POST /runs`, which checks them. @throws invalid_request */
function toBody(slug: string | undefined, options: AdHocOptions): ReturnType<typeof createRawRun.parse> {
  const { messages, tools, model, instructions, limits, output, variables, thread } = options;
  const config = {
    instructions,
    model,
    limits,
    tools: tools?.map((tool) => (typeof tool === "string" ? { name: tool } : tool)),
    output_schema: output === undefined ? undefined : answerSchema(output),
  };
  const body = { messages, config, agent_id: slug, thread_id: thread, variables };
  requireStorable(body);
  const parsed = createRawRun.safeParse(JSON.parse(JSON.stringify(body)));
  if (parsed.success) return parsed.data;
  throw invalidRequest(parsed.error.issues.map((issue) => ({ path: issuePath(issue), message: issue.message })));
}

/** One transaction for the key and the work. */
function once(
  world: EndpointWorld,
  caller: Caller,
  key: IdempotencyKey | null,
  thread: ThreadId,
  work: (tx: Transaction) => Promise<Run>,
): Promise<Run> {
  return world.database.tenant(scopeOf(caller), async (tx) => {
    if (key !== null) await reserve(tx, caller, key, toUuid(thread));
    const run = await work(tx);
    if (key !== null) await store(tx, caller, key, { status: 202, text: JSON.stringify(run) });
    return run;
  });
}
