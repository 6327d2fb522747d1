/**
 * Accepting threads and runs: one statement for all requests that wait, one commit before any answer.
 *
 * S1  Thread, run, first events and the idempotency key are written together or not at all.
 * S2  The statement checks that nothing about access changed since the caller's rights were read
 *     (`access_epoch`): what was allowed from a cache is refused when it is no longer true.
 * S3  A key that was used in the last 24 hours writes nothing; its request is answered from the stored response.
 */
import { isConnectionError, type Lane, type Sql, statement, toRefusal } from "../storage/index.ts";

/** One request, in the database's words. Short names: they are sent with each row. */
export type StartItem = {
  /** Organization and the access epoch the caller's rights were read under. */
  o: string;
  ep: number;
  /** Agent and version; null for a raw run. */
  ag: string | null;
  av: number | null;
  th: string;
  title: string | null;
  /** Thread state. */
  ts: "idle" | "running";
  ref: string | null;
  /** Attributed user, creator's kind and id. */
  au: string | null;
  ck: "user" | "service";
  ci: string;
  /** Number of events. */
  n: number;
  va: object;
  me: object;
  at: string;
  /** The run; absent for a thread without input. */
  ru: string | null;
  rs: "queued" | "running" | null;
  tr: string | null;
  lo: string | null;
  pr: object | null;
  co: object | null;
  po: string | null;
  inp: object | null;
  qs: number | null;
  /** Idempotency: principal, route, key, request hash (hex), status, response. */
  ip: string | null;
  ir: string | null;
  ik: string | null;
  ih: string | null;
  /** The key's job. */
  ij: string | null;
  is: number | null;
  ib: string | null;
};

/** Events of a request: place in the log, run, type, body. */
export type StartEvent = { s: number; r: string | null; ty: string; b: string };

export type Start = { item: StartItem; events: StartEvent[] };

const items = `with items as materialized (
     select * from json_to_recordset($1::json) as i(
       k int, o uuid, ep bigint, ag uuid, av int, th uuid, title text, ts text, ref text, au uuid, ck text, ci uuid,
       n int, va jsonb, me jsonb, at timestamptz, ru uuid, rs text, tr text, lo uuid, pr json, co json, po text,
       inp json, qs bigint, ip text, ir text, ik text, ih text, ij uuid, "is" int, ib text, ev json)),`;
/** S2. The share lock lets an organization's access change before or after this commit, not during it. */
const allowed = `select i.* from items i join organizations g on g.id = i.o where g.access_epoch = i.ep for share of g`;
const writes = `threads_written as (
     insert into threads (organization_id, id, agent_id, agent_version, title, state, client_external_ref,
       attributed_user_id, created_by_kind, created_by_id, last_seq, active_run_id, active_fence, last_run_id,
       variables, metadata, created_at, updated_at)
     select o, th, ag, av, title, ts, ref, au, ck, ci, n, ru, case when ru is null then 0 else 1 end, ru, va, me, at, at
       from admitted),
   runs_written as (
     insert into runs (organization_id, id, thread_id, agent_id, agent_version, state, trigger, attempt, fence,
       lease_owner, principal, config, prompt, variables, input, queued_seq, created_at, started_at)
     select o, ru, th, ag, av, rs, tr, case when rs = 'running' then 1 else 0 end, 1, lo, pr, co, po, va, inp, qs, at,
       case when rs = 'running' then at end
       from admitted where ru is not null),
   events_written as (
     insert into events (organization_id, thread_id, seq, run_id, type, body)
     select a.o, a.th, e.s, e.r, e.ty, e.b
       from admitted a cross join lateral json_to_recordset(a.ev) as e(s bigint, r uuid, ty text, b text))`;

// Two statements: without a key among them, requests are spared the table of keys.
const start = statement(
  "runs.start",
  `${items} admitted as materialized (${allowed}), ${writes} select k, true as admitted from admitted`,
);
const startKeyed = statement(
  "runs.start_keyed",
  `${items}
   allowed as materialized (${allowed}),
   keyed as (
     insert into idempotency_keys (organization_id, principal, route, key, request_hash, status, response, thread_id,
       job_id)
     select o, ip, ir, ik, decode(ih, 'hex'), "is", ib, th, ij from allowed where ik is not null
     on conflict (organization_id, principal, route, key) do update
       set request_hash = excluded.request_hash, status = excluded.status, response = excluded.response,
         thread_id = excluded.thread_id, job_id = excluded.job_id, created_at = now()
       where idempotency_keys.created_at <= now() - interval '24 hours'
     returning organization_id, principal, route, key),
   admitted as materialized (
     select a.* from allowed a
      where a.ik is null or exists (
        select from keyed q
         where q.organization_id = a.o and q.principal = a.ip and q.route = a.ir and q.key = a.ik)),
   ${writes}
   select a.k, true as admitted from admitted a
   union all
   select a.k, false from allowed a where not exists (select from admitted x where x.k = a.k)`,
);

/** `stale`: access changed since it was read. `replay`: the idempotency key was used before. */
export type StartOutcome = "started" | "stale" | "replay";

const statementFor = (starts: readonly Start[]) => (starts.some(({ item }) => item.ik !== null) ? startKeyed : start);

const values = (starts: readonly Start[]): unknown[] => [
  JSON.stringify(starts.map(({ item, events }, k) => ({ k, ...item, ev: events }))),
];

function outcomes(count: number, rows: ReadonlyArray<{ k: number; admitted: boolean }>): StartOutcome[] {
  const list: StartOutcome[] = Array.from({ length: count }, () => "stale");
  for (const row of rows) list[row.k] = row.admitted ? "started" : "replay";
  return list;
}

/** Writes one start inside a transaction that writes more, such as the files it moves. */
export async function startIn(sql: Sql, one: Start): Promise<StartOutcome> {
  const rows = await sql.rows<{ k: number; admitted: boolean }>(statementFor([one]), values([one]));
  return outcomes(1, rows)[0] as StartOutcome;
}

const written = statement(
  "runs.started",
  "select id from threads where (organization_id, id) in (select * from unnest($1::uuid[], $2::uuid[]))",
);

type Waiting = { start: Start; resolve: (outcome: StartOutcome) => void; reject: (error: unknown) => void };

const MAX_BATCH = 128;

/** Collects starts while a commit is under way and writes them with the next one. */
export class StartBatch {
  readonly #lane: Lane;
  #waiting: Waiting[] = [];
  #busy = false;
  #scheduled = false;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** @throws unavailable when the database is away; else the driver's error, and nothing was written */
  add(start: Start): Promise<StartOutcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ start, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#busy || this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#busy = true;
      this.#write(this.#take()).finally(() => {
        this.#busy = false;
        this.#schedule();
      });
    });
  }

  /** A batch holds each idempotency key once: the second request with it belongs to a later statement (S3). */
  #take(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const keys = new Set<string>();
    for (const waiting of this.#waiting) {
      const { o, ip, ir, ik } = waiting.start.item;
      const key = ik === null ? null : `${o} ${ip} ${ir} ${ik}`;
      if (batch.length >= MAX_BATCH || (key !== null && keys.has(key))) later.push(waiting);
      else {
        if (key !== null) keys.add(key);
        batch.push(waiting);
      }
    }
    this.#waiting = later;
    return batch;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    try {
      const starts = batch.map((w) => w.start);
      const rows = await this.#lane.rows<{ k: number; admitted: boolean }>(statementFor(starts), values(starts));
      const list = outcomes(batch.length, rows);
      for (const [k, waiting] of batch.entries()) waiting.resolve(list[k] as StartOutcome);
    } catch (error) {
      if (isConnectionError(error)) await this.#afterLoss(batch, error);
      else if (batch.length === 1) batch[0]?.reject(error);
      else for (const one of batch) await this.#write([one]); // one bad request must not refuse the others
    }
  }

  /** The connection broke: the commit may have happened. The threads' ids tell. */
  async #afterLoss(batch: readonly Waiting[], error: unknown): Promise<void> {
    try {
      const rows = await this.#lane.rows<{ id: string }>(written, [
        batch.map((w) => w.start.item.o),
        batch.map((w) => w.start.item.th),
      ]);
      const ids = new Set(rows.map((row) => row.id));
      for (const waiting of batch) {
        if (ids.has(waiting.start.item.th)) waiting.resolve("started");
        else waiting.reject(toRefusal(error));
      }
    } catch {
      // A start that was committed all the same is found by its idempotency key, its run as one that nobody works on.
      for (const waiting of batch) waiting.reject(toRefusal(error));
    }
  }
}
