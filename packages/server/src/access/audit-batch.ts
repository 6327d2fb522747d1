/**
 * Writing audit entries. Those that belong to no transaction, such as an admin's reads, share commits: each one
 * holds its organization's head until it is on disk, so one commit for each would be as many as a disk makes.
 */
import { isConnectionError, type Sql, statement } from "../storage/index.ts";

/** An entry in the database's words. */
export type AuditRow = {
  readonly organization: string;
  readonly id: string;
  readonly actorKind: string;
  readonly actorId: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly outcome: "done" | "refused";
  /** JSON text. */
  readonly details: string;
  readonly requestId: string | null;
};

// By organization, so that two batches never wait for each other's heads in a circle.
const insert = statement(
  "audit.insert",
  `insert into audit_entries (organization_id, id, actor_kind, actor_id, action, target, outcome, details, request_id)
   select o, i, ak, ai, ac, ta, ou, de::jsonb, re
     from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
       $9::text[]) with ordinality as e(o, i, ak, ai, ac, ta, ou, de, re, n)
    order by o, n`,
);

export async function insertEntries(sql: Sql, rows: readonly AuditRow[]): Promise<void> {
  await sql.run(insert, [
    rows.map((row) => row.organization),
    rows.map((row) => row.id),
    rows.map((row) => row.actorKind),
    rows.map((row) => row.actorId),
    rows.map((row) => row.action),
    rows.map((row) => row.target),
    rows.map((row) => row.outcome),
    rows.map((row) => row.details),
    rows.map((row) => row.requestId),
  ]);
}

const MAX_BATCH = 200;

type Waiting = { row: AuditRow; resolve: () => void; reject: (error: unknown) => void };

/** Collects entries while a commit is under way and writes them with the next one. */
class AuditBatch {
  readonly #sql: Sql;
  #waiting: Waiting[] = [];
  #busy = false;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  add(row: AuditRow): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, resolve, reject });
      if (!this.#busy) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#busy = true;
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) await this.#write(this.#waiting.splice(0, MAX_BATCH));
    this.#busy = false;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      await insertEntries(
        this.#sql,
        batch.map(({ row }) => row),
      );
      for (const { resolve } of batch) resolve();
    } catch (error) {
      // One entry that cannot be stored must not take the others with it.
      if (batch.length > 1 && !isConnectionError(error)) for (const one of batch) await this.#write([one]);
      else for (const { reject } of batch) reject(error);
    }
  }
}

const batches = new WeakMap<Sql, AuditBatch>();

/** The batch of a database. */
export function auditBatch(sql: Sql): AuditBatch {
  let batch = batches.get(sql);
  if (batch === undefined) {
    batch = new AuditBatch(sql);
    batches.set(sql, batch);
  }
  return batch;
}
