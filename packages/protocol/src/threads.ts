/** Threads, runs, and what a caller sends to them. */
import { z } from "zod";
import { rawConfig, variableValue } from "./agents.ts";
import { decisionFields } from "./approvals.ts";
import { json, jsonObject, listOf, metadata, timestamp } from "./common.ts";
import { type CallId, idSchema } from "./ids.ts";
import { runStates } from "./run.ts";

export const principalRef = z.object({
  kind: z.enum(["user", "service"]),
  /** `user_…` of a person, `token_…` of a service token. */
  id: z.union([idSchema("user"), idSchema("token")]),
});
export type PrincipalRef = z.infer<typeof principalRef>;

// What a caller sends.

const MAX_TEXT = 1_000_000;

export const contentPart = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text"), text: z.string().min(1).max(MAX_TEXT) }),
  z.strictObject({ type: z.literal("file"), file_id: idSchema("file") }),
]);
export type ContentPart = z.infer<typeof contentPart>;

export const onActiveRun = z.enum(["enqueue", "reject", "interrupt", "steer"]);
export type OnActiveRun = z.infer<typeof onActiveRun>;

/** `text` is short for one text part; exactly one of `content` and `text`. */
const messageBody = {
  content: z.array(contentPart).min(1).max(64).optional(),
  text: z.string().min(1).max(MAX_TEXT).optional(),
};
type MessageBody = { content?: ContentPart[] | undefined; text?: string | undefined };
const oneOfBoth = (body: MessageBody) => (body.content === undefined) !== (body.text === undefined);
const oneOfBothProblem = { message: "expected exactly one of content and text", path: ["content"] };
const toContent = <T extends MessageBody>({ content, text, ...rest }: T) => ({
  ...rest,
  content: content ?? [{ type: "text" as const, text: text as string }],
});

export const userMessageInput = z
  .strictObject({ type: z.literal("user.message"), ...messageBody })
  .refine(oneOfBoth, oneOfBothProblem)
  .transform(toContent);

export const userMessageEvent = z
  .strictObject({ type: z.literal("user.message"), ...messageBody, on_active_run: onActiveRun.default("enqueue") })
  .refine(oneOfBoth, oneOfBothProblem)
  .transform(toContent);

export const permissionDecisionEvent = z.strictObject({
  type: z.literal("permission.decision"),
  permission_id: idSchema("permission"),
  ...decisionFields,
});

export const userInterruptEvent = z.strictObject({
  type: z.literal("user.interrupt"),
  run_id: idSchema("run").optional(),
});

export const clientEvent = z.discriminatedUnion("type", [
  userMessageEvent,
  permissionDecisionEvent,
  userInterruptEvent,
]);
export type ClientEvent = z.output<typeof clientEvent>;

/** A batch, or one event alone. */
export const sendEvents = z
  .union([z.strictObject({ events: z.array(clientEvent).min(1).max(100) }), clientEvent])
  .transform((body) => ("events" in body ? body : { events: [body] }));
export type SendEvents = z.output<typeof sendEvents>;

export const variables = z.record(z.string().max(64), variableValue);

export const createThread = z.strictObject({
  input: userMessageInput.optional(),
  title: z.string().min(1).max(300).optional(),
  client_external_ref: z.string().min(1).max(300).optional(),
  attributed_user_id: idSchema("user").optional(),
  variables: variables.optional(),
  metadata: metadata.optional(),
  /** Files uploaded to the agent before, to be moved to this thread. */
  files: z.array(idSchema("file")).max(64).optional(),
});
export type CreateThread = z.output<typeof createThread>;

export const updateThread = z.strictObject({
  title: z.string().min(1).max(300).nullable().optional(),
  metadata: metadata.optional(),
});
export type UpdateThread = z.output<typeof updateThread>;

export const createRun = z.strictObject({
  input: userMessageInput,
  /** Absent: a new thread. */
  thread_id: idSchema("thread").optional(),
  variables: variables.optional(),
  metadata: metadata.optional(),
  on_active_run: onActiveRun.exclude(["steer"]).default("enqueue"),
});
export type CreateRun = z.output<typeof createRun>;

/** A message of a conversation; the model's own are text. */
export const conversationMessage = z
  .strictObject({ role: z.enum(["user", "assistant"]), ...messageBody })
  .refine(oneOfBoth, oneOfBothProblem)
  .transform(toContent)
  .refine(({ role, content }) => role === "user" || content.every((part) => part.type === "text"), {
    message: "expected text only in a message of the assistant",
    path: ["content"],
  });
export type ConversationMessage = z.output<typeof conversationMessage>;

/** A conversation so far, and the message that is to be answered. */
export const conversation = z
  .array(conversationMessage)
  .min(1)
  .max(200)
  .refine((messages) => messages.at(-1)?.role === "user", { message: "expected a message of the user at the end" });

/** A run without a saved agent. `input` is short for one message; exactly one of `messages` and `input`. */
export const createRawRun = z
  .strictObject({
    input: userMessageInput.optional(),
    messages: conversation.optional(),
    config: rawConfig.optional(),
    /** What `config` leaves out comes from this agent, by id or slug, which also bounds tools and limits. */
    agent_id: z.string().min(1).max(64).optional(),
    /** A thread of that agent, or without one of an earlier raw run. Absent: a new thread. */
    thread_id: idSchema("thread").optional(),
    /** The agent's. */
    variables: variables.optional(),
    metadata: metadata.optional(),
  })
  .refine(({ input, messages }) => (input === undefined) !== (messages === undefined), {
    message: "expected exactly one of input and messages",
    path: ["messages"],
  })
  .transform(({ input, messages, config, ...rest }) => ({
    ...rest,
    config: config ?? {},
    messages: messages ?? [{ role: "user" as const, content: input?.content ?? [] }],
  }));
export type CreateRawRun = z.output<typeof createRawRun>;

// What a caller reads.

export const threadStates = ["idle", "running", "waiting"] as const;
export const threadState = z.enum(threadStates);
export type ThreadState = z.infer<typeof threadState>;

export const thread = z
  .object({
    id: idSchema("thread"),
    agent_id: idSchema("agent").nullable(),
    agent_version: z.number().int().nullable(),
    /** The thread whose run opened this one by calling the agent; the two are deleted together. */
    parent_thread_id: idSchema("thread").nullable(),
    title: z.string().nullable(),
    state: threadState,
    archived: z.boolean(),
    client_external_ref: z.string().nullable(),
    attributed_user: z.object({ id: idSchema("user") }).nullable(),
    created_by: principalRef,
    active_run_id: idSchema("run").nullable(),
    last_run_id: idSchema("run").nullable(),
    last_seq: z.number().int(),
    metadata,
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Thread" });
export type Thread = z.infer<typeof thread>;

export const runState = z.enum(runStates);

export const usage = z.object({
  input_tokens: z.number().int(),
  output_tokens: z.number().int(),
  cost_micros: z.number().int(),
});
export type Usage = z.infer<typeof usage>;

export const runError = z.object({ code: z.string(), message: z.string(), retryable: z.boolean() });
export type RunError = z.infer<typeof runError>;

export const runResult = z.object({ text: z.string(), output: json.optional() });
export type RunResult = z.infer<typeof runResult>;

/** `agent`: a run of another agent called this one. */
export const runTrigger = z.enum(["message", "interrupt", "raw", "agent"]);

/** What a run waits for: a person's decision, or the run of an agent it has called. */
export const waitingFor = z.array(
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("permission"), id: idSchema("permission") }),
    z.object({ kind: z.literal("run"), id: idSchema("run") }),
  ]),
);
export type WaitingFor = z.infer<typeof waitingFor>;

const runFields = z.object({
  id: idSchema("run"),
  thread_id: idSchema("thread"),
  agent_id: idSchema("agent").nullable(),
  agent_version: z.number().int().nullable(),
  parent_run_id: idSchema("run").nullable(),
  state: runState,
  trigger: runTrigger,
  attempt: z.number().int(),
  /** Of the run and of the runs it has called. */
  usage,
  created_at: timestamp,
  started_at: timestamp.nullable(),
  ended_at: timestamp.nullable(),
});

/** What a run has beside its fields, by its state. */
type RunNow =
  | { state: "queued" | "running"; result?: never; error?: never; waiting_for?: never }
  | { state: "waiting"; waiting_for: WaitingFor; result?: never; error?: never }
  | { state: "completed"; result: RunResult; error?: never; waiting_for?: never }
  | { state: "failed" | "canceled"; error: RunError; result?: never; waiting_for?: never };
export type Run = Omit<z.infer<typeof runFields>, "state"> & RunNow;

export const run = runFields
  .extend({
    /** Only on `completed`. */
    result: runResult.optional(),
    /** Only on `failed` and `canceled`. */
    error: runError.optional(),
    /** Only on `waiting`. */
    waiting_for: waitingFor.optional(),
  })
  .meta({ id: "Run" }) as unknown as z.ZodType<Run>;

/** A run with the runs it has called, in the order of their calls. */
export const runTree = z
  .object({
    run,
    agent_slug: z.string().nullable(),
    /** The tool call of the parent run that called it; null at the root of the tree. */
    call_id: idSchema("call").nullable(),
    get children(): z.ZodType<RunTree[]> {
      return z.array(runTree);
    },
  })
  .meta({ id: "RunTree" });
export type RunTree = { run: Run; agent_slug: string | null; call_id: CallId | null; children: RunTree[] };

export const threadLinks = z.object({ thread: z.string(), events: z.string(), stream: z.string() });
export const threadAnswer = z.object({ thread, run: run.nullable(), links: threadLinks }).meta({ id: "ThreadAnswer" });
export type ThreadAnswer = z.infer<typeof threadAnswer>;

export const sentEvent = z.object({
  type: z.string(),
  event_id: idSchema("event"),
  seq: z.number().int(),
  run: run.nullable(),
});
export const sendEventsAnswer = z.object({ thread, events: z.array(sentEvent) }).meta({ id: "SendEventsAnswer" });
export type SendEventsAnswer = z.infer<typeof sendEventsAnswer>;

export const threadList = listOf(thread);
export const runList = listOf(run);

// The transcript: what the model was told and what it said.

export const transcriptToolCall = z.object({
  call_id: idSchema("call"),
  tool: z.string(),
  effect: z.enum(["read", "idempotent", "once"]),
  state: z.enum(["waiting", "started", "completed", "failed", "denied", "unknown"]),
  input: json,
  output: json.optional(),
});
export const transcriptStep = z.object({
  step: z.number().int(),
  /** Messages that joined the run before this step. */
  joined: z.array(z.object({ content: z.array(contentPart) })),
  model: z.string(),
  text: z.string(),
  thinking: z.string().optional(),
  finish_reason: z.string(),
  usage,
  tool_calls: z.array(transcriptToolCall),
  created_at: timestamp,
});
export const transcript = z
  .object({
    run_id: idSchema("run"),
    prompt: z.string(),
    variables: jsonObject,
    /** What the run answers. What was said before it, in a raw run, has the role of who said it. */
    input: z.array(z.object({ role: z.literal("assistant").optional(), content: z.array(contentPart) })),
    steps: z.array(transcriptStep),
  })
  .meta({ id: "Transcript" });
export type Transcript = z.infer<typeof transcript>;
