/** SQL of runs, their steps and tool calls: reads, and the writes of transactions. */
import {
  type OrganizationId,
  type RunId,
  type RunState,
  toUuid,
  type Usage,
  type WaitingFor,
} from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { CallState } from "./change.ts";
import type { RunInput, RunRow } from "./run.ts";

/** The columns of a `RunRow`, of `runs r`. */
export const runColumns = `r.organization_id, r.id, r.thread_id, r.agent_id, r.agent_version, r.parent_run_id, r.parent_call_id, r.depth,
  r.limits, r.state, r.trigger, r.attempt, r.crashes, r.fence, r.lease_owner, r.running_ms, r.principal, r.config, r.prompt, r.variables, r.input,
  r.queued_seq, r.input_tokens, r.output_tokens, r.cost_micros, r.result, r.error, r.waiting_for, r.created_at,
  r.started_at, r.ended_at`;

const get = statement("runs.get", `select ${runColumns} from runs r where r.organization_id = $1 and r.id = $2`);
export function findRun(sql: Sql, organizationId: OrganizationId, id: RunId): Promise<RunRow | undefined> {
  return sql.row<RunRow>(get, [toUuid(organizationId), toUuid(id)]);
}

/** The same by the database's ids. */
export const findRunByUuid = (sql: Sql, organization: string, id: string): Promise<RunRow | undefined> =>
  sql.row<RunRow>(get, [organization, id]);

const insert = statement(
  "runs.insert",
  `insert into runs (organization_id, id, thread_id, agent_id, agent_version, state, trigger, attempt, fence,
     lease_owner, principal, config, prompt, variables, input, queued_seq, created_at, started_at,
     parent_run_id, parent_call_id, depth, limits)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
);
/** A run on an existing thread, whose row the transaction has locked. */
export async function insertRun(sql: Sql, row: RunRow): Promise<void> {
  await sql.run(insert, [
    row.organization_id,
    row.id,
    row.thread_id,
    row.agent_id,
    row.agent_version,
    row.state,
    row.trigger,
    row.attempt,
    row.fence,
    row.lease_owner,
    row.principal,
    row.config === null ? null : JSON.stringify(row.config),
    row.prompt,
    row.variables,
    JSON.stringify(row.input),
    row.queued_seq,
    row.created_at,
    row.started_at,
    row.parent_run_id,
    row.parent_call_id,
    row.depth,
    row.limits,
  ]);
}

const move = statement(
  "runs.move",
  `update runs set state = $4, lease_owner = null, error = $5::json, waiting_for = $6::json, ended_at = $7
    where organization_id = $1 and id = $2 and state = $3`,
);
/**
 * Moves a run that no engine writes for: queued or waiting ones, or a running one that is taken away.
 *
 * @returns false when the run was not in `from`: somebody else was first
 */
export async function moveRun(
  sql: Sql,
  row: RunRow,
  to: RunState,
  change: { error?: object; waitingFor?: WaitingFor; endedAt?: string } = {},
): Promise<boolean> {
  const written = await sql.run(move, [
    row.organization_id,
    row.id,
    row.state,
    to,
    change.error === undefined ? null : JSON.stringify(change.error),
    change.waitingFor === undefined ? null : JSON.stringify(change.waitingFor),
    change.endedAt ?? null,
  ]);
  return written === 1;
}

export type RunFilter = {
  organization: string;
  /** Only runs on threads of this principal; null for everything. */
  principal: string | null;
  /** Only runs of these agents, and without an agent; null for all. */
  agents: string[] | null;
  state: string | null;
  agent: string | null;
  thread: string | null;
  /** Only what this run has called. */
  parent: string | null;
  before: string | null;
  limit: number;
};
const listBase = `select ${runColumns} from runs r
    where r.organization_id = $1 and ($2::text is null or r.state = $2) and ($3::uuid is null or r.agent_id = $3)
      and ($4::uuid is null or r.thread_id = $4) and ($5::uuid is null or r.id < $5)
      and ($7::uuid is null or r.parent_run_id = $7)`;
const listAll = statement("runs.list_all", `${listBase} order by r.id desc limit $6`); // runs_pkey, runs_open
const listOwn = statement(
  "runs.list_own",
  `${listBase} and ($9::uuid[] is null or r.agent_id is null or r.agent_id = any($9))
      and r.thread_id in (
        (select id from threads where organization_id = $1 and created_by_id = $8)
        union all
        (select id from threads where organization_id = $1 and attributed_user_id = $8))
    order by r.id desc limit $6`, // runs_pkey, threads_creator, threads_attributed
);
/** Runs, newest first. */
export function listRuns(sql: Sql, filter: RunFilter): Promise<RunRow[]> {
  const values = [
    filter.organization,
    filter.state,
    filter.agent,
    filter.thread,
    filter.before,
    filter.limit,
    filter.parent,
  ];
  return filter.principal === null
    ? sql.rows<RunRow>(listAll, values)
    : sql.rows<RunRow>(listOwn, [...values, filter.principal, filter.agents]);
}

export type StoredStep = {
  run_id: string;
  step: number;
  message_id: string;
  provider: string;
  model: string;
  joined: RunInput[];
  steered: number;
  parts: unknown[];
  finish_reason: string;
  input_tokens: number;
  output_tokens: number;
  cost_micros: number;
  created_at: string;
};
const steps = statement(
  "runs.steps",
  `select run_id, step, message_id, provider, model, joined, steered, parts, finish_reason, input_tokens,
          output_tokens, cost_micros, created_at
     from steps where organization_id = $1 and run_id = any($2::uuid[]) order by run_id, step`, // steps_pkey
);
/** The steps of some runs, in order. */
export function stepsOf(sql: Sql, organization: string, runs: readonly string[]): Promise<StoredStep[]> {
  return sql.rows<StoredStep>(steps, [organization, runs]);
}

export type StoredCall = {
  run_id: string;
  step: number;
  position: number;
  id: string;
  model_call_id: string;
  tool: string;
  input: unknown;
  effect: "read" | "idempotent" | "once";
  state: CallState;
  output: unknown;
  output_text: string | null;
  started_at: string | null;
};
const calls = statement(
  "runs.tool_calls",
  `select run_id, step, position, id, model_call_id, tool, input, effect, state, output, output_text, started_at
     from tool_calls where organization_id = $1 and run_id = any($2::uuid[]) order by run_id, step, position`,
);
/** The tool calls of some runs, in order. */
export function callsOf(sql: Sql, organization: string, runs: readonly string[]): Promise<StoredCall[]> {
  return sql.rows<StoredCall>(calls, [organization, runs]);
}

const setCall = statement(
  "runs.set_tool_call",
  `update tool_calls set state = $4, ended_at = $5, output_text = coalesce($6, output_text)
    where organization_id = $1 and run_id = $2 and id = $3`,
);
/** Writes what became of a call whose run is no engine's. */
export async function setCallState(
  sql: Sql,
  organization: string,
  run: string,
  call: string,
  state: CallState,
  at: string,
  outputText: string | null,
): Promise<void> {
  await sql.run(setCall, [organization, run, call, state, at, outputText]);
}

/** Earlier runs whose messages a new one reads: the conversation so far. */
export type PastRun = { id: string; input: RunInput[]; state: RunState };
const past = statement(
  "runs.past",
  `select id, input, state from (
     select id, input, state, queued_seq from runs
      where organization_id = $1 and thread_id = $2 and queued_seq < $3 and started_at is not null
      order by queued_seq desc limit $4) recent
    order by queued_seq`, // runs_thread
);
export function pastRuns(
  sql: Sql,
  organization: string,
  thread: string,
  beforeSeq: number,
  limit: number,
): Promise<PastRun[]> {
  return sql.rows<PastRun>(past, [organization, thread, beforeSeq, limit]);
}

const steer = statement(
  "runs.steer",
  "insert into steering_messages (organization_id, run_id, number, message) values ($1, $2, $3, $4)",
);
export async function insertSteering(
  sql: Sql,
  organization: string,
  run: string,
  number: number,
  message: RunInput,
): Promise<void> {
  await sql.run(steer, [organization, run, number, message]);
}

const steering = statement(
  "runs.steering",
  `select number, message from steering_messages
    where organization_id = $1 and run_id = $2 and number > $3 order by number`,
);
/** Messages that joined a run after the `seen` first ones. */
export async function steeringAfter(sql: Sql, organization: string, run: string, seen: number): Promise<RunInput[]> {
  return (await sql.rows<{ message: RunInput }>(steering, [organization, run, seen])).map((row) => row.message);
}

const unfinished = statement(
  "runs.unfinished_messages",
  `select distinct ('{' || body)::json -> 'data' ->> 'message_id' as message_id
     from events
    where organization_id = $1 and thread_id = $2 and seq > $4 and run_id = $3
      and type in ('agent.message.delta', 'agent.thinking.delta')`,
);
/** Messages of a run that were begun in the log after `seq`: which of them a step finished is the caller's to know. */
export async function begunMessages(
  sql: Sql,
  organization: string,
  thread: string,
  run: string,
  seq: number,
): Promise<string[]> {
  return (await sql.rows<{ message_id: string }>(unfinished, [organization, thread, run, seq])).map(
    (row) => row.message_id,
  );
}

/** Two usages together. */
export const addUsage = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
  cost_micros: a.cost_micros + b.cost_micros,
});
