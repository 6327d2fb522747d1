/** The audit log: who did what to which thing, with what outcome. Entries are added and read, nothing else. */
import {
  type AuditEntry,
  fromUuid,
  type Json,
  newId,
  type OrganizationId,
  type RequestId,
  toUuid,
} from "@callboard/protocol";
import { decodeCursor, LAST_UUID, type Sql, statement, toPage } from "../storage/index.ts";
import { type Caller, principalId } from "./caller.ts";
import type { Grant } from "./grant.ts";

export type AuditAction =
  | `agent.${"create" | "update" | "delete" | "publish" | "unpublish" | "activate" | "set_access"}`
  | `budget.${"create" | "update" | "delete"}`
  | `group.${"create" | "update" | "delete"}`
  | `member.${"add" | "update" | "remove"}`
  | `model_connection.${"create" | "update" | "delete"}`
  | `organization.${"create" | "update"}`
  | `thread.${"read_as_admin" | "write_as_admin" | "delete"}`
  | "permission.decide"
  | `run.${"read_as_admin" | "cancel_as_admin"}`
  | `job.${"read_as_admin" | "cancel_as_admin"}`
  | `token.${"create" | "revoke"}`;

/** Who acted: a caller, or the operator at the server's own command line. */
export type Actor = { readonly caller: Caller } | { readonly operatorOf: OrganizationId };

export type NewEntry = {
  readonly actor: Actor;
  readonly action: AuditAction;
  /** The id of the thing, or what was asked for when it was refused. */
  readonly target: string | null;
  readonly outcome: "done" | "refused";
  /** Facts worth keeping; never a secret, never content of a thread. */
  readonly details?: Record<string, Json>;
  readonly requestId: RequestId | null;
};

const insert = statement(
  "audit.insert",
  `insert into audit_entries (organization_id, id, actor_kind, actor_id, action, target, outcome, details, request_id)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
);

/** Adds an entry, in the transaction of the act when `sql` is one. */
export async function audit(sql: Sql, entry: NewEntry): Promise<void> {
  const caller = "caller" in entry.actor ? entry.actor.caller : undefined;
  const organizationId = "caller" in entry.actor ? entry.actor.caller.organizationId : entry.actor.operatorOf;
  await sql.run(insert, [
    toUuid(organizationId),
    toUuid(newId("audit")),
    caller?.kind ?? "operator",
    caller === undefined ? null : principalId(caller),
    entry.action,
    entry.target,
    entry.outcome,
    JSON.stringify(entry.details ?? {}),
    entry.requestId,
  ]);
}

// Served by the primary key, backwards.
const list = statement(
  "audit.list",
  `select id, actor_kind, actor_id, action, target, outcome, details, request_id, created_at
     from audit_entries where organization_id = $1 and id < $2 order by id desc limit $3`,
);
type Row = {
  id: string;
  actor_kind: AuditEntry["actor"]["kind"];
  actor_id: string | null;
  action: string;
  target: string | null;
  outcome: AuditEntry["outcome"];
  details: Record<string, Json>;
  request_id: string | null;
  created_at: string;
};

/** The organization's entries, newest first. @throws invalid_request for a wrong cursor */
export async function listAudit(
  sql: Sql,
  { organizationId }: Grant<"audit.read">,
  page: { limit: number; cursor?: string | undefined },
): Promise<{ data: AuditEntry[]; next_cursor: string | null }> {
  const before = decodeCursor(page.cursor, "uuid") ?? LAST_UUID;
  const rows = await sql.rows<Row>(list, [toUuid(organizationId), before, page.limit + 1]);
  return toPage(
    rows,
    page.limit,
    (row) => row.id,
    ({ id, actor_kind, actor_id, ...row }) => ({
      ...row,
      id: fromUuid("audit", id),
      actor: { kind: actor_kind, id: actor_id },
    }),
  );
}
