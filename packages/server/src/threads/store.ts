/** SQL of threads. */
import { type OrganizationId, type ThreadId, toUuid } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { ThreadRow } from "./thread.ts";

const columns = `t.organization_id, t.id, t.agent_id, t.agent_version, t.parent_thread_id, t.title, t.state, t.archived,
  t.client_external_ref, t.attributed_user_id, t.created_by_kind, t.created_by_id, t.last_seq, t.active_run_id,
  t.active_fence, t.steered, t.queued, t.last_run_id, t.variables, t.metadata, t.created_at, t.updated_at`;

const get = statement(
  "threads.get",
  `select ${columns} from threads t where t.organization_id = $1 and t.id = $2`, // threads_pkey
);
export function findThread(sql: Sql, organizationId: OrganizationId, id: ThreadId): Promise<ThreadRow | undefined> {
  return sql.row<ThreadRow>(get, [toUuid(organizationId), toUuid(id)]);
}

const lock = statement(
  "threads.lock",
  `select ${columns} from threads t where t.organization_id = $1 and t.id = $2 for update`,
);
/** The thread, locked until the transaction ends: whoever changes a thread or its runs comes through here or `hold`. */
export function lockThread(sql: Sql, organizationId: OrganizationId, id: ThreadId): Promise<ThreadRow | undefined> {
  return sql.row<ThreadRow>(lock, [toUuid(organizationId), toUuid(id)]);
}

// PostgreSQL takes the locks of a row in the order of these clauses: the organization's after the thread's is had.
const hold = statement(
  "threads.hold",
  `select ${columns}, g.access_epoch
     from threads t join organizations g on g.id = t.organization_id
    where t.organization_id = $1 and t.id = $2 for update of t for share of g`,
);
export type HeldThread = ThreadRow & { access_epoch: number };
/** The same with the organization's access held still (access E3): whoever acts for a caller comes through here. */
export function holdThread(sql: Sql, organizationId: OrganizationId, id: ThreadId): Promise<HeldThread | undefined> {
  return sql.row<HeldThread>(hold, [toUuid(organizationId), toUuid(id)]);
}

const insert = statement(
  "threads.insert",
  `insert into threads (organization_id, id, agent_id, agent_version, parent_thread_id, state, attributed_user_id,
     created_by_kind, created_by_id, last_seq, active_run_id, active_fence, last_run_id, variables, metadata, created_at,
     updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)`,
);
/** A thread that a run opens; those that callers open are written by `runs/start-batch.ts`. */
export async function insertThread(sql: Sql, row: ThreadRow): Promise<void> {
  await sql.run(insert, [
    row.organization_id,
    row.id,
    row.agent_id,
    row.agent_version,
    row.parent_thread_id,
    row.state,
    row.attributed_user_id,
    row.created_by_kind,
    row.created_by_id,
    row.last_seq,
    row.active_run_id,
    row.active_fence,
    row.last_run_id,
    row.variables,
    row.metadata,
    row.created_at,
  ]);
}

const lockChildren = statement(
  "threads.lock_children",
  `select ${columns} from threads t where t.organization_id = $1 and t.parent_thread_id = any($2::uuid[])
    order by t.id for update`, // threads_parent
);
/** The threads that runs of these ones opened, locked; while a thread is locked its runs open no others. */
export function lockChildThreads(sql: Sql, organization: string, parents: readonly string[]): Promise<ThreadRow[]> {
  return sql.rows<ThreadRow>(lockChildren, [organization, parents]);
}

const put = statement(
  "threads.put",
  `update threads set title = $3, state = $4, archived = $5, metadata = $6, last_seq = $7, active_run_id = $8,
          active_fence = $9, steered = $10, queued = $11, last_run_id = $12, updated_at = $13
    where organization_id = $1 and id = $2`,
);
/** Writes a locked thread back. */
export async function putThread(sql: Sql, row: ThreadRow): Promise<void> {
  await sql.run(put, [
    row.organization_id,
    row.id,
    row.title,
    row.state,
    row.archived,
    row.metadata,
    row.last_seq,
    row.active_run_id,
    row.active_fence,
    row.steered,
    row.queued,
    row.last_run_id,
    row.updated_at,
  ]);
}

export type ThreadFilter = {
  organization: string;
  agent: string;
  /** Only what this principal created or is attributed to; null for everything. */
  principal: string | null;
  state: string | null;
  archived: boolean | null;
  ref: string | null;
  attributed: string | null;
  /** With threads that other agents' runs opened. */
  children: boolean;
  /** Id of the last thread of the page before. */
  before: string | null;
  limit: number;
};

const listAll = statement(
  "threads.list_all",
  `select ${columns} from threads t
    where t.organization_id = $1 and t.agent_id = $2 and ($3::uuid is null or t.id < $3)
      and ($4::text is null or t.state = $4) and ($5::boolean is null or t.archived = $5)
      and ($6::text is null or t.client_external_ref = $6) and ($7::uuid is null or t.attributed_user_id = $7)
      and ($9 or t.parent_thread_id is null)
    order by t.id desc limit $8`, // threads_agent
);
const listOwn = statement(
  "threads.list_own",
  `select ${columns} from threads t
    where t.organization_id = $1 and t.agent_id = $2 and ($3::uuid is null or t.id < $3)
      and ($4::text is null or t.state = $4) and ($5::boolean is null or t.archived = $5)
      and ($6::text is null or t.client_external_ref = $6) and ($7::uuid is null or t.attributed_user_id = $7)
      and ($9 or t.parent_thread_id is null)
      and t.id in (
        (select id from threads where organization_id = $1 and created_by_id = $10 and ($3::uuid is null or id < $3))
        union all
        (select id from threads where organization_id = $1 and attributed_user_id = $10 and ($3::uuid is null or id < $3)))
    order by t.id desc limit $8`, // threads_creator, threads_attributed
);
/** An agent's threads, newest first. */
export function listThreads(sql: Sql, filter: ThreadFilter): Promise<ThreadRow[]> {
  const values = [
    filter.organization,
    filter.agent,
    filter.before,
    filter.state,
    filter.archived,
    filter.ref,
    filter.attributed,
    filter.limit,
    filter.children,
  ];
  return filter.principal === null
    ? sql.rows<ThreadRow>(listAll, values)
    : sql.rows<ThreadRow>(listOwn, [...values, filter.principal]);
}

// A job may have runs in several threads: with the first of them that goes, the job and all its answers go. A call
// that waits for its answer (`sync`) has no result to forget, and ends by itself.
const removeJobs = statement(
  "threads.delete_jobs",
  `with own as (
     select distinct job_id from idempotency_keys
      where organization_id = $1 and thread_id = $2 and job_id is not null), -- idempotency_keys_thread
   answers_gone as (
     delete from idempotency_keys k using own where k.organization_id = $1 and k.job_id = own.job_id),
   events_gone as (
     delete from job_events e using own where e.organization_id = $1 and e.job_id = own.job_id)
   delete from jobs j using own where j.organization_id = $1 and j.id = own.job_id and j.mode = 'polling'
   returning j.id`,
);
const remove = [
  // Everything a thread has, in one transaction; the audit entry stays.
  statement("threads.delete_events", "delete from events where organization_id = $1 and thread_id = $2"),
  statement(
    "threads.delete_blobs",
    `delete from blobs b using files f
      where f.organization_id = $1 and f.thread_id = $2 and b.organization_id = $1 and b.id = f.blob_id`,
  ),
  statement("threads.delete_files", "delete from files where organization_id = $1 and thread_id = $2"),
  statement(
    "threads.delete_steering",
    `delete from steering_messages s using runs r
      where r.organization_id = $1 and r.thread_id = $2 and s.organization_id = $1 and s.run_id = r.id`,
  ),
  statement(
    "threads.delete_tool_calls",
    `delete from tool_calls c using runs r
      where r.organization_id = $1 and r.thread_id = $2 and c.organization_id = $1 and c.run_id = r.id`,
  ),
  // What its model calls cost is owed all the same.
  statement(
    "threads.keep_usage",
    `insert into usage_kept (organization_id, run_id, step, agent_id, user_id, token_id, provider, model,
       input_tokens, output_tokens, cost_micros, price, created_at)
     select $1, s.run_id, s.step, r.agent_id, r.principal->>'userId', r.principal->>'tokenId', s.provider, s.model,
            s.input_tokens, s.output_tokens, s.cost_micros, s.price, s.created_at
       from steps s join runs r on r.organization_id = s.organization_id and r.id = s.run_id
      where r.organization_id = $1 and r.thread_id = $2`,
  ),
  statement(
    "threads.delete_steps",
    `delete from steps s using runs r
      where r.organization_id = $1 and r.thread_id = $2 and s.organization_id = $1 and s.run_id = r.id`,
  ),
  statement(
    "threads.delete_permissions",
    `delete from permissions p using runs r
      where r.organization_id = $1 and r.thread_id = $2 and p.organization_id = $1 and p.run_id = r.id`,
  ),
  statement("threads.delete_allowances", "delete from thread_allowances where organization_id = $1 and thread_id = $2"),
  statement("threads.delete_answers", "delete from idempotency_keys where organization_id = $1 and thread_id = $2"),
  statement("threads.delete_runs", "delete from runs where organization_id = $1 and thread_id = $2"),
  statement("threads.delete", "delete from threads where organization_id = $1 and id = $2"),
];
/** Deletes a locked thread with all it has. @returns uuids of the jobs that went with it */
export async function deleteThread(sql: Sql, organizationId: OrganizationId, id: ThreadId): Promise<string[]> {
  const place = [toUuid(organizationId), toUuid(id)];
  const jobs = await sql.rows<{ id: string }>(removeJobs, place);
  for (const step of remove) await sql.run(step, place);
  return jobs.map((job) => job.id);
}
