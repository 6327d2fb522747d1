/** The audit log's chain, by sums of our own: what `audit_hash` of migration 0008 does in the database. */
import { createHash } from "node:crypto";

/** An entry as it is hashed. */
export type ChainEntry = {
  readonly organization_id: string;
  readonly id: string;
  readonly seq: number;
  readonly actor_kind: string;
  readonly actor_id: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly outcome: string;
  /** The text of the stored jsonb, as PostgreSQL prints it. */
  readonly details: string;
  readonly request_id: string | null;
  readonly created_at: string;
  readonly prev_hash: Buffer;
  readonly hash: Buffer;
};

/** What the first entry has in the place of a hash before it. */
export const FIRST_HASH = Buffer.alloc(32);

export function entryHash(entry: ChainEntry): Buffer {
  const hash = createHash("sha256");
  hash.update(entry.prev_hash).update(number(entry.seq));
  hash.update(uuid(entry.organization_id)).update(uuid(entry.id));
  const { actor_kind, actor_id, action, target, outcome, details, request_id } = entry;
  for (const text of [actor_kind, actor_id, action, target, outcome, details, request_id]) hash.update(field(text));
  return hash.update(number(Date.parse(entry.created_at))).digest();
}

/** 8 bytes, big-endian. */
function number(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

const uuid = (text: string): Buffer => Buffer.from(text.replaceAll("-", ""), "hex");

/** Length and UTF-8, so that no two lists of texts have the same bytes. */
function field(text: string | null): Buffer {
  const bytes = Buffer.from(text ?? "");
  const length = Buffer.alloc(4);
  length.writeInt32BE(text === null ? -1 : bytes.length);
  return Buffer.concat([length, bytes]);
}
