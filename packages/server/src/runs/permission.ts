/** A permission as access decides on it, and as the API shows it. */
import { type Agent, fromUuid, type Json, type Permission, type PermissionDecision } from "@callboard/protocol";
import type { PermissionFacts } from "../access/index.ts";
import { readFacts } from "../agents/index.ts";
import type { Sql } from "../storage/index.ts";
import type { PermissionRow } from "./permission-store.ts";

const orNull = <T, U>(value: T | null, to: (value: T) => U): U | null => (value === null ? null : to(value));

/** @param ownerId the agent's owner now */
export const toPermissionFacts = (row: PermissionRow, ownerId: Agent["owner_id"] | null): PermissionFacts => ({
  id: fromUuid("permission", row.id),
  agentId: orNull(row.agent_id, (id) => fromUuid("agent", id)),
  ownerId,
  approvers: row.approvers,
  notRequester: row.not_requester,
  requesterUserId: orNull(row.requester_user_id, (id) => fromUuid("user", id)),
  requesterTokenId: orNull(row.requester_token_id, (id) => fromUuid("token", id)),
});

/** What access decides on, read with the agent's owner as `sql` sees it. */
export async function permissionFacts(sql: Sql, row: PermissionRow): Promise<PermissionFacts> {
  if (row.agent_id === null) return toPermissionFacts(row, null);
  const organizationId = fromUuid("organization", row.organization_id);
  const { facts } = await readFacts(sql, organizationId, fromUuid("agent", row.agent_id));
  return toPermissionFacts(row, facts?.ownerId ?? null);
}

/** @param may whether the reader is one of those who decide */
export function toPermission(row: PermissionRow, may: boolean): Permission {
  const open = row.state === "pending" && !row.is_late;
  const requester =
    row.requester_user_id === null
      ? ({ kind: "service", id: fromUuid("token", row.requester_token_id ?? row.run_id) } as const)
      : ({ kind: "user", id: fromUuid("user", row.requester_user_id) } as const);
  return {
    id: fromUuid("permission", row.id),
    state: row.state,
    reason: row.reason,
    tool: row.tool,
    input: row.input as Json,
    arguments_hash: row.arguments_hash,
    scope: row.scope,
    agent_id: orNull(row.agent_id, (id) => fromUuid("agent", id)),
    agent_name: row.agent_name,
    agent_version: row.agent_version,
    thread_id: fromUuid("thread", row.thread_id),
    run_id: fromUuid("run", row.run_id),
    call_id: fromUuid("call", row.call_id),
    requested_by: { ...requester, email: row.requester_email },
    approvers: row.approvers,
    not_requester: row.not_requester,
    decisions: may && open ? decisionsOn(row) : [],
    decision: toDecision(row),
    expires_at: row.expires_at,
    created_at: row.created_at,
  };
}

const decisionsOn = ({ scope }: PermissionRow): PermissionDecision[] =>
  scope === null ? ["allow_once", "deny"] : ["allow_once", "allow_for_thread", "deny"];

function toDecision({ decision, message, decided_by, decided_at }: PermissionRow): Permission["decision"] {
  if (decided_by === null || decided_at === null) return null; // it expired
  return {
    decision: decision as PermissionDecision,
    ...(message === null ? {} : { message }),
    decided_by: decided_by as NonNullable<Permission["decision"]>["decided_by"],
    decided_at,
  };
}
