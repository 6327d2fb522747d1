-- Runs that other runs called. Older servers can live with it while no agent calls others: they neither cancel
-- children nor queue a run that waits for them.

alter table runs
  -- The tool call of the parent run; a child's own id is made from it, so a call has its child once.
  add column parent_call_id uuid,
  -- Calls of agents between this run and the first one; 0 for a run that somebody asked for.
  add column depth smallint not null default 0,
  -- {timeout_ms, max_tokens?, max_cost_micros?}: what the parent run had left when it called.
  add column limits json;

-- Serves trees, usage, and `GET /runs?parent_run_id=`.
create index runs_parent on runs (parent_run_id, id) where parent_run_id is not null;
-- Serves the search for children whose call is over.
create index runs_open_children on runs (parent_run_id)
  where parent_run_id is not null and state in ('queued', 'running', 'waiting');
-- Serves the search for runs whose children have ended; a child comes first in `waiting_for`.
create index runs_waiting_for_runs on runs (id) where state = 'waiting' and waiting_for -> 0 ->> 'kind' = 'run';

-- The thread whose run opened this one: the two are deleted together.
alter table threads add column parent_thread_id uuid;
create index threads_parent on threads (parent_thread_id) where parent_thread_id is not null;
