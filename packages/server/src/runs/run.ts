/** A run as the server knows it, and as the API shows it. */
import {
  type AgentId,
  type ContentPart,
  fromUuid,
  type OrganizationId,
  type Run,
  type RunError,
  type RunErrorCode,
  type RunId,
  type RunResult,
  type RunState,
  runErrorCatalogue,
  type Scope,
  type ThreadId,
  toUuid,
  type UserId,
  type VariableValue,
  type WaitingFor,
} from "@callboard/protocol";
import type { CredentialId } from "../access/index.ts";
import type { TenantScope } from "../storage/index.ts";

/** The names one run is written under: ids for the wire, uuids for the database. */
export type RunKey = {
  readonly organizationId: OrganizationId;
  readonly threadId: ThreadId;
  readonly runId: RunId;
  readonly organization: string;
  readonly thread: string;
  readonly run: string;
};

/** Who a run works for: fixed when it was accepted, stored with it, never taken from its input. */
export type Principal = {
  readonly kind: "user" | "service";
  /** What proved it: a token, or the session of a person. */
  readonly tokenId: CredentialId;
  /** The caller, or whom a service attributed the thread to; null for a bare service. */
  readonly userId: UserId | null;
  readonly email: string | null;
  readonly groups: readonly string[];
  readonly scopes: readonly Scope[];
};

/** Whose rows the run may see in the database. */
export const runScope = (key: RunKey, { userId, tokenId }: Principal): TenantScope => ({
  organization: key.organization,
  user: userId === null ? null : toUuid(userId),
  service: userId === null ? toUuid(tokenId) : null,
});

/**
 * A message a run answers. In a raw run those that were said before it come first: they are in no log (`seq` 0),
 * and may be the model's own.
 */
export type RunInput = { content: ContentPart[]; seq: number; role?: "assistant" };

/** What a run that was called may use at most: what the run that called it had left. */
export type RunLimits = { timeout_ms: number; max_tokens?: number; max_cost_micros?: number };

/** A row of `runs`. */
export type RunRow = {
  organization_id: string;
  id: string;
  thread_id: string;
  agent_id: string | null;
  agent_version: number | null;
  parent_run_id: string | null;
  /** The tool call of the parent run. */
  parent_call_id: string | null;
  /** Calls of agents between this run and the first one. */
  depth: number;
  limits: RunLimits | null;
  state: RunState;
  trigger: Run["trigger"];
  attempt: number;
  crashes: number;
  fence: number;
  lease_owner: string | null;
  running_ms: number;
  principal: Principal;
  config: unknown;
  prompt: string;
  variables: Record<string, VariableValue>;
  input: RunInput[];
  queued_seq: number;
  input_tokens: number;
  output_tokens: number;
  cost_micros: number;
  result: RunResult | null;
  error: RunError | null;
  /** Children come first; an empty list says that all of it has come. */
  waiting_for: WaitingFor | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
};

export function toRun(row: RunRow): Run {
  return {
    id: fromUuid("run", row.id),
    thread_id: fromUuid("thread", row.thread_id),
    agent_id: row.agent_id === null ? null : (fromUuid("agent", row.agent_id) as AgentId),
    agent_version: row.agent_version,
    parent_run_id: row.parent_run_id === null ? null : fromUuid("run", row.parent_run_id),
    ...byState(row),
    trigger: row.trigger,
    attempt: row.attempt,
    usage: { input_tokens: row.input_tokens, output_tokens: row.output_tokens, cost_micros: row.cost_micros },
    created_at: row.created_at,
    started_at: row.started_at,
    ended_at: row.ended_at,
  };
}

/** The statement that ends a run writes its result or its error with the state. */
function byState({ state, result, error, waiting_for }: RunRow) {
  if (state === "completed") return { state, result: result as RunResult };
  if (state === "failed" || state === "canceled") return { state, error: error as RunError };
  return state === "waiting" ? { state, waiting_for: waiting_for ?? [] } : { state };
}

export function keyOf(row: { organization_id: string; thread_id: string; id: string }): RunKey {
  return {
    organizationId: fromUuid("organization", row.organization_id),
    threadId: fromUuid("thread", row.thread_id),
    runId: fromUuid("run", row.id),
    organization: row.organization_id,
    thread: row.thread_id,
    run: row.id,
  };
}

/** The error of a run that ended other than by completing. */
export function runError(code: RunErrorCode, message?: string): RunError {
  const entry = runErrorCatalogue[code];
  return { code, message: message ?? entry.summary, retryable: entry.retryable };
}
