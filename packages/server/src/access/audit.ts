/**
 * The audit log: who did what to which thing, with what outcome. Entries are added and read, nothing else.
 *
 * The database numbers and chains them as they are inserted (migration 0008), under a lock on the organization's
 * head: whoever adds an entry takes that lock last.
 */
import {
  type AuditAction,
  type AuditEntry,
  fromUuid,
  type Json,
  newId,
  type OrganizationId,
  type RequestId,
  type RouteQuery,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import { decodeCursor, type Sql, statement, type Transaction, toPage } from "../storage/index.ts";
import { type AuditRow, auditBatch, insertEntries } from "./audit-batch.ts";
import { type Caller, principalId } from "./caller.ts";
import type { Grant } from "./grant.ts";

/**
 * Who acted: a caller, the operator at the server's own command line, whoever held a token that had ended, or somebody
 * at the door of the organization `personOf`, with no caller yet: `userId` is null until he has proved who he is.
 */
export type Actor =
  | { readonly caller: Caller }
  | { readonly operatorOf: OrganizationId }
  | { readonly organizationId: OrganizationId; readonly kind: "user" | "service"; readonly id: string }
  | { readonly personOf: OrganizationId; readonly userId: UserId | null };

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

/**
 * Adds an entry, in the transaction of the act when `sql` is one; else it shares a commit with the entries that
 * come at the same time. It is stored when this resolves.
 */
export async function audit(sql: Sql, entry: NewEntry): Promise<void> {
  const row = toRow(entry);
  if (isTransaction(sql)) await insertEntries(sql, [row]);
  else await auditBatch(sql).add(row);
}

const isTransaction = (sql: Sql): sql is Transaction => "after" in sql;

function toRow(entry: NewEntry): AuditRow {
  const { organizationId, kind, id } = actorOf(entry.actor);
  return {
    organization: toUuid(organizationId),
    id: toUuid(newId("audit")),
    actorKind: kind,
    actorId: id,
    action: entry.action,
    target: entry.target,
    outcome: entry.outcome,
    details: JSON.stringify(entry.details ?? {}),
    requestId: entry.requestId,
  };
}

/** An actor in the words of an entry. */
export function actorOf(actor: Actor): {
  organizationId: OrganizationId;
  kind: AuditEntry["actor"]["kind"];
  id: string | null;
} {
  if ("operatorOf" in actor) return { organizationId: actor.operatorOf, kind: "operator", id: null };
  if ("personOf" in actor) {
    return { organizationId: actor.personOf, kind: actor.userId === null ? "anonymous" : "user", id: actor.userId };
  }
  if (!("caller" in actor)) return actor;
  const { caller } = actor;
  return { organizationId: caller.organizationId, kind: caller.kind, id: principalId(caller) };
}

const page = (where: string) =>
  `select id, seq, actor_kind, actor_id, action, target, outcome, details, request_id, created_at, prev_hash, hash
     from audit_entries
    where organization_id = $1 and seq < $2 and ($4::text is null or action = $4) and ($5::text is null or outcome = $5)
      and ($6::timestamptz is null or created_at >= $6) and ($7::timestamptz is null or created_at < $7) ${where}
    order by seq desc limit $3`;
// One for each index: the organization's numbers, an actor's, a target's.
const list = statement("audit.list", page(""));
const listOfActor = statement("audit.list-of-actor", page("and actor_id = $8 and ($9::text is null or target = $9)"));
const listOfTarget = statement("audit.list-of-target", page("and target = $8"));
type Row = {
  id: string;
  seq: number;
  actor_kind: AuditEntry["actor"]["kind"];
  actor_id: string | null;
  action: string;
  target: string | null;
  outcome: AuditEntry["outcome"];
  details: Record<string, Json>;
  request_id: string | null;
  created_at: string;
  prev_hash: Buffer;
  hash: Buffer;
};

/** Beyond every number an entry has. */
const LAST = Number.MAX_SAFE_INTEGER;

/** The organization's entries, newest first. @throws invalid_request for a wrong cursor */
export async function listAudit(
  sql: Sql,
  { organizationId }: Grant<"audit.read">,
  query: RouteQuery<"audit.list">,
): Promise<{ data: AuditEntry[]; next_cursor: string | null }> {
  const { limit, action = null, outcome = null, since = null, until = null, actor_id, target } = query;
  const before = Number(decodeCursor(query.cursor, "integer") ?? LAST);
  const range = [toUuid(organizationId), before, limit + 1, action, outcome, since, until];
  let rows: Row[];
  if (actor_id !== undefined) rows = await sql.rows<Row>(listOfActor, [...range, actor_id, target ?? null]);
  else if (target !== undefined) rows = await sql.rows<Row>(listOfTarget, [...range, target]);
  else rows = await sql.rows<Row>(list, range);
  return toPage(
    rows,
    limit,
    (row) => row.seq,
    ({ id, actor_kind, actor_id: actor, prev_hash, hash, ...row }) => ({
      ...row,
      id: fromUuid("audit", id),
      actor: { kind: actor_kind, id: actor },
      prev_hash: prev_hash.toString("hex"),
      hash: hash.toString("hex"),
    }),
  );
}
