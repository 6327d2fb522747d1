/** SQL of the runs that runs have called: their tree, what they used, and those that something must follow for. */
import { fromUuid, type Usage } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { RunRow } from "./run.ts";
import { runColumns } from "./store.ts";

/** Runs of one tree that are shown. */
const MAX_TREE = 1000;

export type TreeRow = RunRow & { agent_slug: string | null };
const tree = statement(
  "runs.tree",
  `with recursive family as (
     select id, 0 as level from runs where organization_id = $1 and id = $2
     union all
     select r.id, f.level + 1 from family f join runs r on r.organization_id = $1 and r.parent_run_id = f.id)
   select ${runColumns}, a.slug as agent_slug
     from family f join runs r on r.organization_id = $1 and r.id = f.id
     left join agents a on a.organization_id = $1 and a.id = r.agent_id
    order by f.level, r.parent_call_id, r.id limit ${MAX_TREE}`, // runs_parent, runs_pkey
);
/** A run and those below it, level by level in the order of their calls; the first 1,000 of them. */
export function readTree(sql: Sql, organization: string, run: string): Promise<TreeRow[]> {
  return sql.rows<TreeRow>(tree, [organization, run]);
}

const chain = statement(
  "runs.chain",
  `with recursive chain as (
     select id, agent_id, parent_run_id from runs where organization_id = $1 and id = $2
     union all
     select r.id, r.agent_id, r.parent_run_id
       from chain c join runs r on r.organization_id = $1 and r.id = c.parent_run_id)
   select agent_id from chain`, // runs_pkey
);
/** The agents of a run and of the runs above it; null stands for a run without a saved agent. */
export async function agentsAbove(sql: Sql, organization: string, run: string): Promise<Array<string | null>> {
  const rows = await sql.rows<{ agent_id: string | null }>(chain, [organization, run]);
  return rows.map((row) => row.agent_id);
}

const openCaller = statement(
  "runs.open_caller",
  `select p.id from runs r join runs p on p.organization_id = r.organization_id and p.id = r.parent_run_id
    where r.organization_id = $1 and r.thread_id = $2 and p.ended_at is null limit 1`, // runs_thread
);
/** The run that called a run of this thread, unless it has ended. */
export async function openCallerOf(
  sql: Sql,
  thread: { organization_id: string; id: string },
): Promise<string | undefined> {
  return (await sql.row<{ id: string }>(openCaller, [thread.organization_id, thread.id]))?.id;
}

const used = statement(
  "runs.used_by_children",
  `select coalesce(sum(input_tokens), 0)::bigint as input_tokens, coalesce(sum(output_tokens), 0)::bigint as output_tokens,
          coalesce(sum(cost_micros), 0)::bigint as cost_micros
     from runs where organization_id = $1 and parent_run_id = $2`, // runs_parent
);
/** What the runs used that this one has called, so far, with those that they have called. */
export async function usedByChildren(sql: Sql, organization: string, run: string): Promise<Usage> {
  return (await sql.row<Usage>(used, [organization, run])) as Usage; // sums have one row
}

/** What the runs have that a run has called: used so far, and given; those that have ended were given what they used. */
export type Below = { used: Usage; given: { tokens: number; micros: number } };

const below = statement(
  "runs.below",
  `select coalesce(sum(input_tokens), 0)::bigint as input_tokens, coalesce(sum(output_tokens), 0)::bigint as output_tokens,
          coalesce(sum(cost_micros), 0)::bigint as cost_micros,
          coalesce(sum(greatest(input_tokens + output_tokens,
            case when ended_at is null then (limits ->> 'max_tokens')::bigint end)), 0)::bigint as tokens,
          coalesce(sum(greatest(cost_micros,
            case when ended_at is null then (limits ->> 'max_cost_micros')::bigint end)), 0)::bigint as micros
     from runs where organization_id = $1 and parent_run_id = $2`, // runs_parent
);
/** With the thread of the run under lock nothing is given meanwhile. */
export async function readBelow(sql: Sql, organization: string, run: string): Promise<Below> {
  const row = await sql.row<Usage & Below["given"]>(below, [organization, run]);
  const { tokens, micros, ...used } = row as Usage & Below["given"]; // sums have one row
  return { used, given: { tokens, micros } };
}

export type OpenRun = { organization_id: string; id: string; thread_id: string };

const orphans = statement(
  "runs.orphans",
  `select r.organization_id, r.id, r.thread_id from runs r
    where r.parent_run_id is not null and r.state in ('queued', 'running', 'waiting')
      and (exists (select from runs p where p.organization_id = r.organization_id and p.id = r.parent_run_id
                      and p.ended_at is not null)
           or exists (select from tool_calls c where c.organization_id = r.organization_id and c.run_id = r.parent_run_id
                      and c.id = r.parent_call_id and c.ended_at is not null))
    limit 100`, // runs_open_children
);
/** Open runs that nobody waits for any more: the run that called them, or its call, has ended. Of all organizations. */
export const orphanedRuns = (sql: Sql): Promise<OpenRun[]> => sql.rows<OpenRun>(orphans);

const answered = (only: string) => `select r.organization_id, r.id, r.thread_id from runs r
    where r.state = 'waiting' and r.waiting_for -> 0 ->> 'kind' = 'run' ${only}
      and not exists (select from runs c where c.parent_run_id = r.id and c.organization_id = r.organization_id
                        and c.state in ('queued', 'running', 'waiting'))
      and not exists (select from permissions p where p.run_id = r.id and p.organization_id = r.organization_id
                        and p.state = 'pending')
    limit 100`;
const answeredAny = statement("runs.answered_by_children", answered("")); // runs_waiting_for_runs
const answeredOne = statement("runs.is_answered_by_children", answered("and r.organization_id = $1 and r.id = $2"));
/** Runs that wait for children and no person, and whose children have all ended. Of all organizations. */
export const answeredParents = (sql: Sql): Promise<OpenRun[]> => sql.rows<OpenRun>(answeredAny);

/** Asked again with the run's thread under lock. */
export async function isAnswered(sql: Sql, run: OpenRun): Promise<boolean> {
  return (await sql.row(answeredOne, [run.organization_id, run.id])) !== undefined;
}

/** A run with what it has called, from the rows of its tree. */
export function nest<Node>(
  rows: readonly TreeRow[],
  toNode: (row: TreeRow, children: Node[]) => Node,
): Node | undefined {
  const below = new Map<string, Node[]>();
  // Backwards: a level is complete before the one above it. Children of one run are prepended to stay in order.
  for (const row of [...rows].reverse()) {
    const node = toNode(row, below.get(row.id) ?? []);
    if (row.id === rows[0]?.id) return node;
    const key = row.parent_run_id as string;
    below.set(key, [node, ...(below.get(key) ?? [])]);
  }
  return undefined;
}

/** The call of a child, as the wire names it. */
export const callIdOf = (row: RunRow) => (row.parent_call_id === null ? null : fromUuid("call", row.parent_call_id));
