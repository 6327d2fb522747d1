/** Deltas of runs that ended a day ago: the final messages hold their text. */
import { type Sql, statement } from "../storage/index.ts";

const MAX_RUNS = 500;

const sweep = statement(
  "runs.sweep_deltas",
  `with old as (
     select organization_id, thread_id, id from runs
      where ended_at is not null and has_deltas and ended_at < now() - interval '24 hours'
      order by ended_at limit ${MAX_RUNS} for update skip locked),
   gone as (
     delete from events e using old
      where e.organization_id = old.organization_id and e.thread_id = old.thread_id and e.run_id = old.id
        and e.type in ('agent.message.delta', 'agent.thinking.delta'))
   update runs r set has_deltas = false from old where r.organization_id = old.organization_id and r.id = old.id`,
);

/** Removes deltas of some runs that ended more than 24 hours ago. @returns how many runs */
export const sweepDeltas = (sql: Sql): Promise<number> => sql.run(sweep);
