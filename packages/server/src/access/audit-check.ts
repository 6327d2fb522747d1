/**
 * Checks an organization's audit log from its first entry to its head.
 *
 * Whoever can write to the database can make the whole chain anew, head included; an anchor that was kept
 * elsewhere finds that too.
 */
import {
  type AuditCheck,
  type AuditHead,
  type AuditProblem,
  fromUuid,
  type OrganizationId,
  toUuid,
} from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import { type ChainEntry, entryHash, FIRST_HASH } from "./audit-chain.ts";

type Head = { seq: number; hash: Buffer; erased_seq: number; erased_hash: Buffer };

const head = statement(
  "audit.head",
  "select seq, hash, erased_seq, erased_hash from audit_heads where organization_id = $1",
);
// Served by audit_entries_seq.
const entries = statement(
  "audit.entries",
  `select organization_id, id, seq, actor_kind, actor_id, action, target, outcome, details::text as details,
          request_id, created_at, prev_hash, hash
     from audit_entries where organization_id = $1 and seq > $2 order by seq limit $3`,
);

// Also those that have a log and are no more, or whose log is gone.
const organizations = statement(
  "audit.organizations",
  `select id from organizations union select organization_id from audit_heads
    union select organization_id from audit_entries order by id`,
);

/** Everybody who has an audit log. */
export async function auditedOrganizations(sql: Sql): Promise<OrganizationId[]> {
  return (await sql.rows<{ id: string }>(organizations)).map(({ id }) => fromUuid("organization", id));
}

/** Entries that are checked in one go; between two goes others have their turn. */
const PAGE = 500;

const empty: Head = { seq: 0, hash: FIRST_HASH, erased_seq: 0, erased_hash: FIRST_HASH };

const readHead = async (sql: Sql, organization: string): Promise<Head | undefined> =>
  sql.row<Head>(head, [organization]);

const toHead = ({ seq, hash }: Pick<Head, "seq" | "hash">): AuditHead => {
  const hex = hash.toString("hex");
  return { seq, hash: hex, anchor: `${seq}:${hex}` };
};

/** Number and hash of the last entry; 0 and zeros when there is none. */
export async function auditHead(sql: Sql, organizationId: OrganizationId): Promise<AuditHead> {
  return toHead((await readHead(sql, toUuid(organizationId))) ?? empty);
}

/** @param anchor `<seq>:<hash>`, as `auditHead` gave it at some time */
export async function checkAudit(sql: Sql, organizationId: OrganizationId, anchor?: string): Promise<AuditCheck> {
  const organization = toUuid(organizationId);
  for (;;) {
    const start = (await readHead(sql, organization)) ?? empty;
    const check = await walk(sql, organization, start, anchor === undefined ? undefined : parseAnchor(anchor));
    // The oldest entries may have been erased meanwhile; then what was read is not the chain that is.
    const now = (await readHead(sql, organization)) ?? empty;
    if (check.ok || now.erased_seq === start.erased_seq) return check;
  }
}

type Anchor = { seq: number; hash: string };
function parseAnchor(text: string): Anchor {
  const [seq = "", hash = ""] = text.split(":");
  return { seq: Number(seq), hash };
}

async function walk(sql: Sql, organization: string, start: Head, anchor: Anchor | undefined): Promise<AuditCheck> {
  let last = { seq: start.erased_seq, hash: start.erased_hash };
  const answer = (end: Pick<Head, "seq" | "hash">, problem: AuditProblem | null): AuditCheck => ({
    ok: problem === null,
    entries: last.seq - start.erased_seq,
    erased_through: start.erased_seq,
    head: toHead(end),
    problem,
  });
  const tooOld = anchor === undefined ? null : anchorProblem(anchor, last);
  if (tooOld !== null) return answer(start, tooOld);
  for (;;) {
    const page = await sql.rows<ChainEntry>(entries, [organization, last.seq, PAGE]);
    for (const entry of page) {
      const problem = entryProblem(entry, last) ?? (anchor?.seq === entry.seq ? anchorProblem(anchor, entry) : null);
      if (problem !== null) return answer(start, problem);
      last = entry;
    }
    if (page.length > 0) continue;
    const end = (await readHead(sql, organization)) ?? empty;
    // Entries and head are committed together: what the head knows of must be there by now.
    const more = end.seq > last.seq ? await sql.rows<ChainEntry>(entries, [organization, last.seq, 1]) : [];
    if (more.length === 0) return answer(end, headProblem(end, last) ?? beyondHead(anchor, end));
  }
}

function entryProblem(entry: ChainEntry, last: { seq: number; hash: Buffer }): AuditProblem | null {
  const seq = last.seq + 1;
  if (entry.seq !== seq) {
    return { seq, kind: "missing", message: `entry ${seq} is missing: entry ${entry.seq} follows ${last.seq}` };
  }
  if (!entry.prev_hash.equals(last.hash)) {
    const message = `entry ${seq} does not follow from the one before: one of them was changed or replaced`;
    return { seq, kind: "unlinked", message };
  }
  if (entryHash(entry).equals(entry.hash)) return null;
  return { seq, kind: "changed", message: `entry ${seq} was changed: its hash is that of other content` };
}

function headProblem(end: Head, last: { seq: number; hash: Buffer }): AuditProblem | null {
  const seq = last.seq + 1;
  if (end.seq > last.seq) {
    return { seq, kind: "missing", message: `entry ${seq} is missing: the head knows of ${end.seq} entries` };
  }
  if (end.seq < last.seq) {
    return { seq: last.seq, kind: "head", message: `the head knows of ${end.seq} entries; there are ${last.seq}` };
  }
  if (end.hash.equals(last.hash)) return null;
  return { seq: last.seq, kind: "head", message: "the head's hash is not that of the last entry" };
}

/** Whether the anchor fits an entry of its number, or names one that was erased. */
function anchorProblem(anchor: Anchor, entry: { seq: number; hash: Buffer }): AuditProblem | null {
  if (anchor.seq > entry.seq) return null;
  const { seq } = anchor;
  if (seq < entry.seq) return { seq, kind: "anchor", message: `the anchor's entry ${seq} was erased` };
  if (entry.hash.toString("hex") === anchor.hash) return null;
  return { seq, kind: "anchor", message: `entry ${seq} is another one than the anchor's` };
}

function beyondHead(anchor: Anchor | undefined, end: Head): AuditProblem | null {
  if (anchor === undefined || anchor.seq <= end.seq) return null;
  return {
    seq: end.seq + 1,
    kind: "anchor",
    message: `the anchor knows of ${anchor.seq} entries; the log ends at ${end.seq}`,
  };
}
