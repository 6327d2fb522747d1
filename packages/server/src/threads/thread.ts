/** A thread as the server knows it, and as the API shows it. */
import {
  fromUuid,
  type PrincipalRef,
  type RunId,
  type Thread,
  type ThreadId,
  type ThreadState,
  type VariableValue,
} from "@callboard/protocol";
import type { ThreadFacts } from "../access/index.ts";

/** A row of `threads`. */
export type ThreadRow = {
  organization_id: string;
  id: string;
  agent_id: string | null;
  agent_version: number | null;
  parent_thread_id: string | null;
  title: string | null;
  state: ThreadState;
  archived: boolean;
  client_external_ref: string | null;
  attributed_user_id: string | null;
  created_by_kind: "user" | "service";
  created_by_id: string;
  last_seq: number;
  active_run_id: string | null;
  active_fence: number;
  steered: number;
  queued: number;
  last_run_id: string | null;
  variables: Record<string, VariableValue>;
  metadata: Record<string, string>;
  created_at: string;
  updated_at: string;
};

const orNull = <T, U>(value: T | null, to: (value: T) => U): U | null => (value === null ? null : to(value));

function toPrincipalRef(kind: "user" | "service", uuid: string): PrincipalRef {
  return { kind, id: kind === "user" ? fromUuid("user", uuid) : fromUuid("token", uuid) };
}

/** What decides who may see a thread; it never changes. */
export function toFacts(thread: Thread): ThreadFacts {
  return {
    id: thread.id,
    agentId: thread.agent_id,
    createdByKind: thread.created_by.kind,
    createdById: thread.created_by.id,
    attributedUserId: thread.attributed_user?.id ?? null,
  };
}

export function toThread(row: ThreadRow): Thread {
  const runId = (id: string): RunId => fromUuid("run", id);
  return {
    id: fromUuid("thread", row.id),
    agent_id: orNull(row.agent_id, (id) => fromUuid("agent", id)),
    agent_version: row.agent_version,
    parent_thread_id: orNull(row.parent_thread_id, (id) => fromUuid("thread", id)),
    title: row.title,
    state: row.state,
    archived: row.archived,
    client_external_ref: row.client_external_ref,
    attributed_user: orNull(row.attributed_user_id, (id) => ({ id: fromUuid("user", id) })),
    created_by: toPrincipalRef(row.created_by_kind, row.created_by_id),
    active_run_id: orNull(row.active_run_id, runId),
    last_run_id: orNull(row.last_run_id, runId),
    last_seq: row.last_seq,
    metadata: row.metadata,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

/** Where a thread's own routes are. */
export function threadLinks(id: ThreadId): { thread: string; events: string; stream: string } {
  const thread = `/api/v1/threads/${id}`;
  return { thread, events: `${thread}/events`, stream: `${thread}/events/stream` };
}
