/** Tools: what a model may ask for, written as a function with typed input. */
import type {
  File,
  FileId,
  Json,
  OrganizationId,
  RunId,
  Scope,
  ThreadId,
  TokenId,
  UserId,
  VariableValue,
} from "@callboard/protocol";
import type { AgentFile, AgentRef } from "./agent.ts";
import type { Documents } from "./documents.ts";
import type { FinishedRun } from "./endpoint.ts";
import type { JsonSchema, OutputOf, StandardSchema } from "./schema.ts";

/**
 * What repeating a call would do, which decides what follows a crash in the middle of one.
 *
 * - `read`: changes nothing; repeated with the same `callId`.
 * - `idempotent`: repeating with the same `callId` changes nothing more; repeated.
 * - `once`: must not happen twice; never repeated, its outcome becomes `unknown`.
 */
export type ToolEffect = "read" | "idempotent" | "once";

/** On whose behalf a tool works. It comes from the request and cannot be given by the model. */
export type ToolCaller = {
  readonly organizationId: OrganizationId;
  readonly kind: "user" | "service";
  /** The person: the caller, or whom a service attributed the thread to; null for a bare service. */
  readonly userId: UserId | null;
  /** The service token that asks, for itself or for the person; null where a person does. */
  readonly serviceId: TokenId | null;
  readonly email: string | null;
  readonly groups: readonly string[];
};

/** The files of the run's thread. */
export type ToolFiles = {
  list(): Promise<File[]>;
  /** @throws when there is no such file in this thread or it is larger than 8 MiB */
  read(id: FileId): Promise<{ file: File; bytes: Uint8Array }>;
  /** Adds an artifact. Repeated with the same `callId` and name, it answers with the first file. */
  write(file: { name: string; mediaType: string; bytes: Uint8Array | string }): Promise<File>;
};

export type ToolLog = {
  info(message: string, facts?: Record<string, unknown>): void;
  warn(message: string, facts?: Record<string, unknown>): void;
};

export type InvokeAgentOptions<Variables> = { message: string; variables?: Variables };

/**
 * Has an agent work for the run's caller, and waits for the end. The agent's run is a child of this one: on a
 * thread of its own, under what is left of this run's limits, canceled when the call ends without it.
 *
 * The n-th use in a call that is repeated after a crash joins the run that the n-th one began. Unless `effect`
 * is `once`, a call whose agent waits for a person is given up and made again once the agent has ended.
 *
 * @throws when the caller may not use the agent, the variables do not fit, or agents would call each other too
 *   deep or in a circle; left alone, the model reads why
 */
export type InvokeAgent = {
  <Variables, Output>(
    agent: AgentFile<Variables, Output>,
    options: InvokeAgentOptions<Variables>,
  ): Promise<FinishedRun<Output>>;
  <Variables, Output>(
    agent: AgentRef<Variables, Output>,
    options: InvokeAgentOptions<NoInfer<Variables>>,
  ): Promise<FinishedRun<Output>>;
  (slug: string, options: InvokeAgentOptions<Record<string, VariableValue>>): Promise<FinishedRun<Json>>;
};

export type ToolContext = {
  readonly caller: ToolCaller;
  /** The same for every repetition of this call, also after a crash: use it as an idempotency key. */
  readonly callId: string;
  /** Aborted when the run is canceled, times out, or loses its lease. */
  readonly signal: AbortSignal;
  readonly thread: { readonly id: ThreadId };
  readonly run: { readonly id: RunId };
  readonly files: ToolFiles;
  /** What whom the run works for may read. */
  readonly documents: Documents;
  /** Like the global `fetch`, but refuses private and metadata addresses when it connects. */
  readonly fetch: typeof fetch;
  invokeAgent: InvokeAgent;
  /** Shows a line to who follows the thread. */
  relayStatus(text: string, more?: { progress?: number; data?: Json }): void;
  readonly log: ToolLog;
};

/** `true` and `"always"`: a person must allow this call. */
export type ApprovalAnswer = boolean | "never" | "always";

/** What decides about a call before it is made. */
export type ApprovalContext = { readonly caller: ToolCaller };

/**
 * Whether a person must allow a call. A function gets the checked input and must leave it as it is. It has a
 * second; when it throws, takes longer or answers anything else, a person is asked.
 */
export type ToolApproval<Input> =
  | "never"
  | "always"
  // As a method, so that a tool of any input is a Tool.
  | { ask(input: Input, context: ApprovalContext): ApprovalAnswer | Promise<ApprovalAnswer> }["ask"];

export type ToolDefinition<Input extends StandardSchema = StandardSchema, Output = unknown> = {
  /** What the model reads to decide when to call the tool. */
  description: string;
  input: Input;
  /** What `run` answers must fit it; the model is told what it gives out. Absent: any JSON value. */
  output?: StandardSchema<Output, unknown>;
  effect: ToolEffect;
  /** What the token of the run's caller must be allowed to, all of them, beside calling the agent. Default none. */
  scopes?: readonly Scope[];
  /** The least approval; an agent may ask for more, never for less. Default `never`. */
  approval?: ToolApproval<OutputOf<Input>>;
  /**
   * What a decision "for this thread" covers beside the tool: later calls with the same text, such as a customer's
   * id or a class of amounts. 1 to 200 characters, none of them control characters; with anything else only single
   * calls can be allowed. Absent: the tool as a whole.
   */
  approvalScope?(input: OutputOf<Input>, context: ApprovalContext): string;
  /**
   * Input and output are kept out of logs. A list names the parts of the input that are, as paths like `card.number`
   * or `lines[*].code`; who is asked for permission sees the rest. Default false.
   */
  sensitive?: boolean | readonly string[];
  /** What the public event log shows. Default: neither. */
  public?: { input?: boolean; output?: boolean };
  /** JSON Schema of the input, for schema libraries that cannot make one. */
  inputJsonSchema?: JsonSchema;
  /** Milliseconds one call may take. Default 60,000. */
  timeoutMs?: number;
  /**
   * Does the work. May throw: the message goes to the model as the outcome `error`.
   * May be called twice with the same `callId` unless `effect` is `once`. Must honour `signal`.
   */
  run(input: OutputOf<Input>, context: ToolContext): Promise<Output> | Output;
};

export type Tool<Input extends StandardSchema = StandardSchema, Output = unknown> = {
  readonly kind: "tool";
  readonly definition: ToolDefinition<Input, Output>;
};

/** A tool; the default export of `tools/<name>.ts`. The file's name is the tool's name. */
export function defineTool<Input extends StandardSchema, Output>(
  definition: ToolDefinition<Input, Output>,
): Tool<Input, Output> {
  return { kind: "tool", definition };
}
