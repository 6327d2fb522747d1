/** What is in the database, row by row, and whose: to tell what a run may have written from what it may not. */
import { parseId, toUuid } from "@callboard/protocol";
import type { Anything, World } from "./hostile-world.ts";

type Row = Record<string, Anything>;
type Snapshot = Map<string, Map<string, Row>>;
const text = (sql: string) => ({ name: "", text: sql });

/** Every row of every table that has a tenant. When a token was last used, and how full its bucket is, are no acts. */
export async function snapshot({ server }: World): Promise<Snapshot> {
  const { database } = server.app;
  const tables = await database.rows<{ name: string }>(
    text(`select c.relname as name from pg_class c
           where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'rate_buckets'
             and (c.relname in ('organizations', 'users')
                  or exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id'
                                                          and not a.attisdropped)) order by 1`),
  );
  const found: Snapshot = new Map();
  for (const { name } of tables) {
    const rows = await database.rows<{ row: Row }>(text(`select to_jsonb(t) - 'last_used_at' as row from ${name} t`));
    found.set(name, new Map(rows.map(({ row }) => [JSON.stringify(row), row])));
  }
  return found;
}

export type Difference = { table: string; change: "new" | "gone"; row: Row };

export function differences(before: Snapshot, after: Snapshot): Difference[] {
  const found: Difference[] = [];
  for (const [table, rows] of after) {
    const old = before.get(table);
    for (const [key, row] of rows) if (!old?.has(key)) found.push({ table, change: "new", row });
    for (const [key, row] of old ?? []) if (!rows.has(key)) found.push({ table, change: "gone", row });
  }
  return found;
}

/**
 * The differences that are not the work of runs for mina on these threads and on those they opened.
 * A table without a rule here may not change at all.
 */
export function effectsBeyond(world: World, threads: readonly string[], changed: readonly Difference[]): Difference[] {
  const mina = toUuid(world.mina.userId);
  const added = (table: string) =>
    changed.filter((one) => one.table === table && one.change === "new").map(({ row }) => row);
  const own = new Set(threads.map((id) => toUuid(parseId("thread", id) as never)));
  for (let size = -1; size !== own.size; ) {
    size = own.size;
    for (const row of added("threads")) if (own.has(row.parent_thread_id)) own.add(row.id);
  }
  const runs = new Set(
    added("runs")
      .filter((row) => own.has(row.thread_id))
      .map(({ id }) => id),
  );
  const blobs = new Set(added("blobs").map(({ id }) => id));
  const held = new Map(added("files").map((row) => [row.blob_id, row.thread_id]));
  const isOwnBlob = (id: string) => blobs.has(id) && (!held.has(id) || own.has(held.get(id)));
  const ofThread = (row: Row) => own.has(row.thread_id);
  const ofRun = (row: Row) => runs.has(row.run_id);
  const rules: Record<string, (row: Row) => boolean> = {
    threads: (row) => own.has(row.id) && (row.created_by_id === mina || row.attributed_user_id === mina),
    runs: (row) => ofThread(row) && row.principal.userId === world.mina.userId,
    events: ofThread,
    permissions: (row) => ofThread(row) && row.requester_user_id === mina,
    thread_allowances: ofThread,
    files: (row) => ofThread(row) && (row.kind === "artifact" || row.call_id === null),
    steps: ofRun,
    tool_calls: ofRun,
    usage_kept: ofRun,
    blobs: (row) => isOwnBlob(row.id),
    blob_chunks: (row) => isOwnBlob(row.blob_id),
    // Refusals are written down, by whom they were refused; the head moves on with them.
    audit_entries: (row) => row.actor_id === world.mina.userId || row.outcome === "refused",
    audit_heads: (row) => row.organization_id === toUuid(world.server.id),
  };
  return changed.filter(({ table, change, row }) => {
    if (rules[table]?.(row) !== true) return true;
    return change === "gone" && table !== "audit_heads";
  });
}
