/** Endpoints: typed routes of a project's own, which may run agents. */
import type {
  AgentVersion,
  ContentPart,
  Json,
  Role,
  RunError,
  RunId,
  Scope,
  ThreadId,
  Usage,
  VariableValue,
} from "@callboard/protocol";
import type { AgentDefinition, AgentFile, AgentRef } from "./agent.ts";
import type { Documents } from "./documents.ts";
import type { InputOf, JsonSchema, OutputOf, StandardSchema } from "./schema.ts";
import type { ToolCaller, ToolLog } from "./tool.ts";

export type EndpointMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Who is asking: known from the token of the request, and from nothing else. Frozen. */
export type EndpointCaller = ToolCaller & {
  /** The person's role; null for a service. */
  readonly role: Role | null;
  readonly scopes: readonly Scope[];
};

/** Who may call an endpoint. Each condition that is given must hold. */
export type EndpointAccess = {
  /** People with one of these roles. Default: every active member but guests, and services. */
  roles?: readonly Role[];
  /** People in one of these groups, by slug. */
  groups?: readonly string[];
  /** What the token must be allowed to, all of them, beside `threads:write`, which every call takes. */
  scopes?: readonly Scope[];
};

type FinishedBase = {
  readonly id: RunId;
  readonly threadId: ThreadId;
  readonly agentVersion: AgentVersion["version"] | null;
  readonly usage: Usage;
};
export type CompletedRun<Output> = FinishedBase & {
  readonly state: "completed";
  /** The final answer as text. */
  readonly text: string;
  /** What the agent's output schema made of the answer; the text where the agent has none. */
  output(): Output;
};
export type UnfinishedRun = FinishedBase & {
  readonly state: "failed" | "canceled";
  readonly error: RunError;
  /** @throws RunNotCompleted, which becomes the endpoint's answer unless the handler catches it */
  output(): never;
};
/** A run that has ended, however it ended. */
export type FinishedRun<Output> = CompletedRun<Output> | UnfinishedRun;

export type RunAgentOptions<Variables> = {
  message: string;
  variables?: Variables;
  /** A thread of this agent that the caller may write to. Default: a new one. */
  thread?: ThreadId;
  /** Cancels the run; the call rejects with the signal's reason. `AbortSignal.timeout(10_000)` is a time limit. */
  signal?: AbortSignal;
};

/**
 * Runs an agent for the caller and waits for the end. The run is written down before the model is called,
 * and canceled when the endpoint's call is.
 *
 * In a job that is run again after a crash, the n-th call joins the run that the n-th call started before.
 *
 * @throws not_found, agent_not_published, api_access_disabled, forbidden, invalid_variables: as any call of the
 *   agent by this caller; the signal's reason
 */
export type RunAgent = {
  <Variables, Output>(
    agent: AgentFile<Variables, Output>,
    options: RunAgentOptions<Variables>,
  ): Promise<FinishedRun<Output>>;
  <Variables, Output>(
    agent: AgentRef<Variables, Output>,
    options: RunAgentOptions<NoInfer<Variables>>,
  ): Promise<FinishedRun<Output>>;
  (slug: string, options: RunAgentOptions<Record<string, VariableValue>>): Promise<FinishedRun<Json>>;
};

/** A message of a conversation; one of the `assistant` is text. */
export type AdHocMessage = { role: "user" | "assistant" } & (
  | { text: string; content?: never }
  | { content: readonly ContentPart[]; text?: never }
);

type AdHocOptions = {
  /** The conversation so far; the last message is the user's and is answered. */
  messages: readonly AdHocMessage[];
  /** Names of tools, or a tool with its approval policy. Default none; with `agent` the agent's. */
  tools?: AgentDefinition["tools"];
  /** Default: the organization's; with `agent` the agent's. */
  model?: AgentDefinition["model"];
  instructions?: string;
  limits?: AgentDefinition["limits"];
  /** A thread of `agent`, or without one of an earlier ad-hoc run, that the caller may write to. Default: a new one. */
  thread?: ThreadId;
  /** Cancels the run; the call rejects with the signal's reason. */
  signal?: AbortSignal;
};

/**
 * Runs without a saved agent: for the caller, who needs the scope `runs:raw` in an organization that allows such runs.
 *
 * With `agent`, what is left out comes from that agent, which the caller must be allowed to call. It is a ceiling:
 * its tools may be left out or asked about more strictly and its limits lowered, nothing more.
 *
 * In a job that is run again after a crash it joins the run of its earlier call, like `runAgent`.
 *
 * @throws insufficient_scope, forbidden, draft_invalid; with an agent or a thread what `runAgent` throws
 */
export type RunAdHoc = {
  <Output>(
    options: AdHocOptions & {
      /** What the answer must fit; the model is told. */
      output: StandardSchema<unknown, Output>;
      agent?: AgentFile<unknown, unknown> | AgentRef<unknown, unknown> | string;
      variables?: Record<string, VariableValue>;
    },
  ): Promise<FinishedRun<Output>>;
  <Variables, Output>(
    options: AdHocOptions & { agent: AgentFile<Variables, Output>; variables?: Variables; output?: never },
  ): Promise<FinishedRun<Output>>;
  <Variables, Output>(
    options: AdHocOptions & { agent: AgentRef<Variables, Output>; variables?: NoInfer<Variables>; output?: never },
  ): Promise<FinishedRun<Output>>;
  (
    options: AdHocOptions & { agent: string; variables?: Record<string, VariableValue>; output?: never },
  ): Promise<FinishedRun<Json>>;
  (options: AdHocOptions & { agent?: never; output?: never }): Promise<FinishedRun<string>>;
};

export type EndpointContext<Input> = {
  readonly input: Input;
  /** The request's headers without `authorization` and cookies. */
  readonly headers: Headers;
  readonly query: URLSearchParams;
  /** Values of the `[name]` parts of the file's path. */
  readonly params: Readonly<Record<string, string>>;
  readonly caller: EndpointCaller;
  /** Aborted when the client of a `sync` call goes away, when the job is canceled, and when the time is up. */
  readonly signal: AbortSignal;
  readonly log: ToolLog;
  /** What the caller may read. */
  readonly documents: Documents;
  runAgent: RunAgent;
  runAdHoc: RunAdHoc;
  /**
   * Tells how far the work is: as the job's status and events, and as `status.relayed` in the logs of the call's runs
   * that go on at that moment.
   *
   * @param text up to 2,000 characters are kept
   * @param more `progress` from 0 to 1; `data` up to 16 KiB of JSON
   */
  relayStatus(text: string, more?: { progress?: number; data?: Json }): void;
  /**
   * Ends the call with a refusal: `throw problem(404, "there is no such ticket")`.
   *
   * @param status 400–599
   */
  problem(status: number, message: string, details?: Record<string, Json>): never;
};

export type EndpointDefinition<
  Input extends StandardSchema = StandardSchema,
  Output extends StandardSchema = StandardSchema,
> = {
  method: EndpointMethod;
  /** One sentence for the API's description. */
  summary?: string;
  /** The JSON body; for GET and DELETE the query's fields as texts. */
  input: Input;
  output: Output;
  access?: EndpointAccess;
  /** `sync` waits for the answer; `polling` answers with a job at once. */
  mode: "sync" | "polling";
  /** Milliseconds one call may take, at most 12 hours. Default 300,000. */
  timeoutMs?: number;
  /**
   * Only with mode `sync`: a call that takes longer than so many milliseconds is answered with a job, 202, and goes
   * on. Such a call is a job from its start, so that a crash loses nothing. A client that leaves before its answer
   * cancels it. Default: the client waits for as long as it takes.
   */
  answerWithinMs?: number;
  /**
   * A job that nobody polls or follows for so many milliseconds, at least 5,000, is canceled. Default: never.
   * For mode `polling`, and `sync` with `answerWithinMs`.
   */
  abandonAfterMs?: number;
  /** JSON Schemas for the API's description, for schema libraries that cannot make them. */
  inputJsonSchema?: JsonSchema;
  outputJsonSchema?: JsonSchema;
  /**
   * Answers one call. As a job it may be called again after a crash, with the same input and caller.
   * What it throws is logged and answered as `internal`, except refusals.
   */
  handle(context: EndpointContext<OutputOf<Input>>): Promise<InputOf<Output>> | InputOf<Output>;
};

export type Endpoint<Input extends StandardSchema = StandardSchema, Output extends StandardSchema = StandardSchema> = {
  readonly kind: "endpoint";
  readonly definition: EndpointDefinition<Input, Output>;
};

/** What JSON makes of a value: a date is its text. */
type Printed<T> = T extends Json
  ? T
  : T extends { toJSON(): infer Text }
    ? Text
    : T extends object
      ? { [K in keyof T]: Printed<T[K]> }
      : T;

/** What a client sends to an endpoint, and what it gets for an answer. */
export type EndpointInput<E> = E extends Endpoint<infer Input, StandardSchema> ? InputOf<Input> : never;
export type EndpointOutput<E> = E extends Endpoint<StandardSchema, infer Output> ? Answered<OutputOf<Output>> : never;
/** No answer is printed as `null`; of a schema that says nothing JSON is all that is known. */
type Answered<T> = unknown extends T ? Json : [T] extends [undefined] | [void] ? null : Printed<T>;

/** An endpoint; the default export of `endpoints/<path>.ts`, which is served at `/endpoints/<path>`. */
export function defineEndpoint<Input extends StandardSchema, Output extends StandardSchema>(
  definition: EndpointDefinition<Input, Output>,
): Endpoint<Input, Output> {
  return { kind: "endpoint", definition };
}

/** Thrown by `run.output()` of a run that did not complete. */
export class RunNotCompleted extends Error {
  readonly run: UnfinishedRun;

  constructor(run: UnfinishedRun) {
    super(`run ${run.id} is ${run.state}: ${run.error.message}`);
    this.name = "RunNotCompleted";
    this.run = run;
  }
}

/** Thrown by `problem`. */
export class EndpointProblem extends Error {
  readonly status: number;
  readonly details: Record<string, Json>;

  constructor(status: number, message: string, details: Record<string, Json> = {}) {
    super(message);
    this.name = "EndpointProblem";
    this.status = status;
    this.details = details;
  }
}
