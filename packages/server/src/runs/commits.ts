/**
 * Everything a run writes while it is under way: one statement for all runs of this process that wait.
 *
 *   engine ──commit(change)──▶ pending, merged by run ──one statement──▶ log, steps, tool calls, run, thread
 *                                                            │
 *                                      committed events ─────┴──▶ feed (followers)
 *
 * C1  A change is written only while its run is the thread's active run under the fence it was claimed with.
 *     The check and the write are one update of the thread row, so a process that lost its lease writes nothing,
 *     nor does one that ended its turn: an end takes the fence away.
 * C2  The changes of one run are written in the order they were given.
 * C3  The change that ends the run's turn is written only when the run has seen all steering messages.
 * C4  A commit whose answer was lost is looked up before it is tried again: nothing is written twice.
 * C5  A change that begins tool calls is written only while nothing about access has changed since the caller's
 *     rights were checked (`access_epoch`).
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Feed, LoggedEvent } from "../events/index.ts";
import { isConflictError, isConnectionError, type Lane, statement } from "../storage/index.ts";
import { type Change, hasCalls, isAppend, type Parcel, toItemRow } from "./change.ts";
import type { RunKey } from "./run.ts";

/**
 * `committed`: with the number of steering messages sent so far, and whether other runs of the thread wait.
 * `fenced`: the run is not this process's any more. `steered`: a message joined; the end was not written.
 * `stale`: somebody's access changed (C5); nothing of the change was written, and it may be tried again.
 */
export type CommitResult =
  | { kind: "committed"; steered: number; queued: boolean }
  | { kind: "fenced" }
  | { kind: "steered"; steered: number }
  | { kind: "stale"; steered: number };

// Each item carries its own rows, so that the work grows with them: no join but by primary key, in either statement.
const append = statement(
  "runs.append",
  `with items as materialized (
     select * from json_to_recordset($1::json) as i(k int, o uuid, t uuid, r uuid, f bigint, n int, ev json)),
   moved as (
     update threads t set last_seq = t.last_seq + i.n, last_flush = $2
       from items i
      where t.organization_id = i.o and t.id = i.t and t.active_run_id = i.r and t.active_fence = i.f
        and t.last_flush is distinct from $2
     returning i.*, t.last_seq - i.n as base, t.steered, t.queued),
   events_written as (
     insert into events (organization_id, thread_id, seq, run_id, type, body)
     select m.o, m.t, m.base + e.s, m.r, e.ty, e.b
       from moved m cross join lateral json_to_recordset(m.ev) as e(s int, ty text, b text))
   select k, base, steered, queued from moved`,
);

/** @param source where the items come from that may be written */
const step = (source: "items" | "admitted", before = ""): string => `with items as materialized (
     select * from json_to_recordset($1::json) as i(
       k int, o uuid, t uuid, r uuid, f bigint, n int, seen int, ts text, leaves boolean, at timestamptz,
       ep bigint, ev json, st json, ca json, cu json, pe json, patch boolean, s text, it bigint, ot bigint, cm bigint, re json,
       er json, wf json, ms bigint, en timestamptz)),
   ${before}moved as (
     update threads t
        set last_seq = t.last_seq + i.n, last_flush = $2,
            state = case when i.ts is null then t.state
                         when i.leaves and t.queued > 0 then 'running' else i.ts end,
            active_run_id = case when i.leaves then null else t.active_run_id end,
            active_fence = case when i.ts is null then t.active_fence else 0 end,
            updated_at = coalesce(i.at, t.updated_at)
       from ${source} i
      where t.organization_id = i.o and t.id = i.t and t.active_run_id = i.r and t.active_fence = i.f
        and (i.seen is null or t.steered = i.seen) and t.last_flush is distinct from $2
     returning i.*, t.last_seq - i.n as base, t.steered, t.queued),
   events_written as (
     insert into events (organization_id, thread_id, seq, run_id, type, body)
     select m.o, m.t, m.base + e.s, m.r, e.ty, e.b
       from moved m cross join lateral json_to_recordset(m.ev) as e(s int, ty text, b text)),
   runs_written as (
     update runs r
        set state = coalesce(m.s, r.state), input_tokens = coalesce(m.it, r.input_tokens),
            output_tokens = coalesce(m.ot, r.output_tokens), cost_micros = coalesce(m.cm, r.cost_micros),
            result = coalesce(m.re, r.result), error = coalesce(m.er, r.error),
            waiting_for = coalesce(m.wf, r.waiting_for),
            lease_owner = case when m.s is null then r.lease_owner end,
            crashes = case when m.st is null then r.crashes else 0 end,
            running_ms = coalesce(m.ms, r.running_ms), ended_at = coalesce(m.en, r.ended_at)
       from moved m
      where m.patch and r.organization_id = m.o and r.id = m.r),
   steps_written as (
     insert into steps (organization_id, run_id, step, message_id, provider, model, joined, steered, parts,
       finish_reason, input_tokens, output_tokens, cost_micros, price, created_at)
     select m.o, m.r, s.st, s.mi, s.pv, s.mo, s.jo, s.se, s.pa, s.fi, s.it, s.ot, s.cm, s.pr, s.at
       from moved m cross join lateral json_to_recordset(m.st) as s(
              st int, mi uuid, pv text, mo text, jo json, se int, pa json, fi text, it bigint, ot bigint, cm bigint,
              pr json, at timestamptz))`;
/** C5. The share lock lets an organization's access change before or after this commit, not during it. */
const admitted = `held as materialized (
     select g.id, g.access_epoch from organizations g
      where g.id in (select o from items where ep is not null) for share of g),
   admitted as materialized (
     select i.* from items i
      where i.ep is null or exists (select from held h where h.id = i.o and h.access_epoch = i.ep)),
   `;
/** A JSON null arrives as no value: a model may call a tool with it. */
const callsOfStep = `calls_written as (
     insert into tool_calls (organization_id, run_id, step, position, id, model_call_id, tool, input, effect, state,
       started_at, output_text, ended_at)
     select m.o, m.r, c.st, c.po, c.id, c.mc, c.tn, coalesce(c.ip, 'null'), c.ef, c.s, c.at, c.ox, case when c.ox is not null then c.at end
       from moved m cross join lateral json_to_recordset(m.ca) as c(
              st int, po int, id uuid, mc text, tn text, ip json, ef text, s text, at timestamptz, ox text)),
   calls_changed as (
     update tool_calls c
        set state = u.s, output = coalesce(u.ou, c.output), output_text = coalesce(u.ox, c.output_text),
            started_at = case when u.s = 'started' then u.at else c.started_at end,
            ended_at = case when u.s in ('completed', 'failed', 'denied', 'unknown') then u.at else c.ended_at end
       from moved m cross join lateral json_to_recordset(m.cu) as u(
              st int, po int, s text, ou json, ox text, at timestamptz)
      where c.organization_id = m.o and c.run_id = m.r and c.step = u.st and c.position = u.po),
   permissions_written as (
     insert into permissions (organization_id, id, thread_id, run_id, call_id, agent_id, agent_name, agent_version,
       reason, tool, input, arguments_hash, scope, approvers, not_requester, on_expiry, requester_user_id,
       requester_token_id, state, expires_at, created_at)
     select m.o, p.id, m.t, m.r, p.ca, p.ag, p.an, p.av, p.rn, p.tn, coalesce(p.ip, 'null'), decode(p.ah, 'hex'), p.sc, p.ap, p.nr, p.oe,
            p.ru, p.rt, 'pending', p.ex, p.at
       from moved m cross join lateral json_to_recordset(m.pe) as p(
              id uuid, ca uuid, ag uuid, an text, av int, rn text, tn text, ip json, ah text, sc text, ap text[],
              nr boolean, oe text, ru uuid, rt uuid, ex timestamptz, at timestamptz))`;

// Two statements, because a part that writes nothing still costs its start: 0.04 ms of database time each.
const commitStep = statement("runs.commit_step", `${step("items")} select k, base, steered, queued from moved`);
const commitCalls = statement(
  "runs.commit",
  `${step("admitted", admitted)}, ${callsOfStep} select k, base, steered, queued from moved`,
);

type MovedRow = { k: number; base: number; steered: number; queued: number };

const look = statement(
  "runs.look_after_commit",
  `select t.organization_id as o, t.id as t, t.active_run_id, t.active_fence, t.steered, t.queued, t.last_seq, t.last_flush,
          g.access_epoch
     from threads t join unnest($1::uuid[], $2::uuid[]) as i(o, t) on t.organization_id = i.o and t.id = i.t
     join organizations g on g.id = t.organization_id`,
);
type LookRow = {
  o: string;
  t: string;
  active_run_id: string | null;
  active_fence: number;
  steered: number;
  queued: number;
  last_seq: number;
  last_flush: string | null;
  access_epoch: number;
};

type Waiting = { resolve: (result: CommitResult) => void; reject: (error: unknown) => void };

/** The changes of one run that wait. The one with the end is last and kept apart: it may be refused alone (C3). */
type Item = {
  key: RunKey;
  fence: number;
  changes: Change[];
  waiting: Waiting[];
  last: { change: Change; waiting: Waiting } | undefined;
};

const MAX_BATCH = 256;

export class RunCommits {
  readonly #lane: Lane;
  readonly #feed: Feed;
  readonly #onTrouble: (error: unknown) => void;
  readonly #onAsked: (organization: string) => void;
  #pending = new Map<string, Item>();
  #busy = false;
  #scheduled = false;
  #stopped = false;

  /** @param onAsked told of the organization, as its uuid, when somebody there is asked for a permission */
  constructor(
    lane: Lane,
    feed: Feed,
    onTrouble: (error: unknown) => void,
    onAsked: (organization: string) => void = () => undefined,
  ) {
    this.#lane = lane;
    this.#feed = feed;
    this.#onTrouble = onTrouble;
    this.#onAsked = onAsked;
  }

  /**
   * Writes a change of a run with the next group commit.
   *
   * While the database is away it waits and tries again. Rejects only for a change the database refuses,
   * which is written in no part.
   */
  commit(key: RunKey, fence: number, change: Change): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      const name = `${key.run}/${fence}`;
      let item = this.#pending.get(name);
      if (item === undefined) {
        item = { key, fence, changes: [], waiting: [], last: undefined };
        this.#pending.set(name, item);
      }
      // What comes after an end that still waits, like a status line of a tool that outlived its run, goes before it.
      if (change.end !== undefined) item.last = { change, waiting: { resolve, reject } };
      else {
        item.changes.push(change);
        item.waiting.push({ resolve, reject });
      }
      this.#schedule();
    });
  }

  /** Changes that wait to be written. */
  get depth(): number {
    return this.#pending.size;
  }

  /** Gives up on changes that cannot be written: the process is about to end. */
  stop(): void {
    this.#stopped = true;
  }

  #schedule(): void {
    if (this.#busy || this.#scheduled || this.#pending.size === 0) return;
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

  /** The next batch, threads in one order for all processes: two batches cannot lock each other out. */
  #take(): Item[] {
    const batch: Item[] = [];
    for (const [name, item] of this.#pending) {
      if (batch.length >= MAX_BATCH) break;
      batch.push(item);
      this.#pending.delete(name);
    }
    return batch.sort((a, b) => (a.key.thread < b.key.thread ? -1 : a.key.thread > b.key.thread ? 1 : 0));
  }

  async #write(batch: Item[]): Promise<void> {
    const flush = randomUUID();
    const parcels = batch.map(toParcel);
    for (let attempt = 1; ; attempt++) {
      try {
        const rows = await this.#send(parcels, flush);
        await this.#settle(batch, parcels, rows, flush);
        return;
      } catch (error) {
        if (isConnectionError(error) && !this.#stopped) {
          this.#onTrouble(error);
          if (await this.#happened(batch, flush)) return;
          continue;
        }
        if (isConflictError(error) && attempt < 5) continue;
        if (batch.length > 1) {
          for (const item of batch) await this.#write([item]); // one bad change must not refuse the others
          return;
        }
        for (const waiting of waitersOf(batch)) waiting.reject(error);
        return;
      }
    }
  }

  #send(parcels: readonly Parcel[], flush: string): Promise<MovedRow[]> {
    const one = parcels.every(isAppend) ? append : parcels.some(hasCalls) ? commitCalls : commitStep;
    return this.#lane.rows<MovedRow>(one, [JSON.stringify(parcels.map(toItemRow)), flush]);
  }

  /** Hands committed events over and answers everybody; looks up why the others were not written. */
  async #settle(
    batch: readonly Item[],
    parcels: readonly Parcel[],
    rows: readonly MovedRow[],
    flush: string,
  ): Promise<void> {
    const moved = new Map(rows.map((row) => [row.k, row]));
    const refused: Item[] = [];
    parcels.forEach(({ events, permissions }, k) => {
      const item = batch[k] as Item;
      const row = moved.get(k);
      if (row === undefined) {
        refused.push(item);
        return;
      }
      if (events.length > 0) {
        this.#feed.publish(
          item.key,
          events.map((event, s): LoggedEvent => ({ seq: row.base + s + 1, type: event.type, body: event.body })),
        );
      }
      if (permissions.length > 0) this.#onAsked(item.key.organization);
      for (const waiting of waitersOf([item])) {
        waiting.resolve({ kind: "committed", steered: row.steered, queued: row.queued > 0 });
      }
    });
    if (refused.length > 0) this.#explain(refused, await this.#look(refused), flush);
  }

  /** Answers for items that the statement did not write, or whose answer was lost, from what their threads say. */
  #explain(items: readonly Item[], rows: ReadonlyMap<string, LookRow>, flush: string): void {
    for (const item of items) {
      const row = rows.get(item.key.thread);
      if (row?.last_flush === flush) {
        // Written, perhaps by an earlier try that the database went on with after its connection was lost (C4).
        this.#feed.touch(item.key);
        for (const waiting of waitersOf([item])) {
          waiting.resolve({ kind: "committed", steered: row.steered, queued: row.queued > 0 });
        }
        continue;
      }
      const own = row !== undefined && row.active_run_id === item.key.run && row.active_fence === item.fence;
      if (!own) {
        for (const waiting of waitersOf([item])) waiting.resolve({ kind: "fenced" });
        continue;
      }
      // Ours, so it was C3 or C5: that change is given back, and the others go with the next commit, first.
      const stale = item.changes.findIndex(({ epoch }) => epoch !== undefined && epoch !== row.access_epoch);
      if (stale >= 0) {
        item.changes.splice(stale, 1);
        item.waiting.splice(stale, 1)[0]?.resolve({ kind: "stale", steered: row.steered });
      } else {
        item.last?.waiting.resolve({ kind: "steered", steered: row.steered });
        item.last = undefined;
      }
      if (item.changes.length === 0 && item.last === undefined) continue;
      const name = `${item.key.run}/${item.fence}`;
      const later = this.#pending.get(name);
      if (later !== undefined) {
        item.changes.push(...later.changes);
        item.waiting.push(...later.waiting);
        item.last ??= later.last;
      }
      this.#pending.set(name, item);
    }
  }

  async #look(items: readonly Item[]): Promise<Map<string, LookRow>> {
    const rows = await this.#lane.rows<LookRow>(look, [
      items.map((item) => item.key.organization),
      items.map((item) => item.key.thread),
    ]);
    return new Map(rows.map((row) => [row.t, row]));
  }

  /** After a lost connection: waits for the database and tells whether the commit happened (C4). */
  async #happened(batch: readonly Item[], flush: string): Promise<boolean> {
    for (;;) {
      await sleep(100);
      if (this.#stopped) {
        for (const waiting of waitersOf(batch)) waiting.resolve({ kind: "fenced" });
        return true;
      }
      try {
        const rows = await this.#look(batch);
        if (![...rows.values()].some((row) => row.last_flush === flush)) return false;
        this.#explain(batch, rows, flush);
        return true;
      } catch (error) {
        if (!isConnectionError(error)) throw error;
      }
    }
  }
}

function toParcel(item: Item): Parcel {
  const { key, fence } = item;
  const changes = item.last === undefined ? item.changes : [...item.changes, item.last.change];
  const first = changes[0];
  if (changes.length === 1 && first !== undefined && isOnlyEvents(first)) {
    return {
      key,
      fence,
      events: first.events,
      steps: [],
      calls: [],
      callUpdates: [],
      permissions: [],
      usage: undefined,
      epoch: undefined,
      end: undefined,
    };
  }
  return {
    key,
    fence,
    events: changes.flatMap((change) => change.events),
    steps: changes.flatMap((change) => change.steps ?? []),
    calls: changes.flatMap((change) => change.calls ?? []),
    callUpdates: changes.flatMap((change) => change.callUpdates ?? []),
    permissions: changes.flatMap((change) => change.permissions ?? []),
    usage: changes.findLast((change) => change.usage !== undefined)?.usage,
    epoch: changes.findLast((change) => change.epoch !== undefined)?.epoch,
    end: item.last?.change.end,
  };
}

const isOnlyEvents = (change: Change): boolean =>
  !(change.steps || change.calls || change.callUpdates || change.permissions || change.usage || change.end);

function* waitersOf(items: readonly Item[]): Iterable<Waiting> {
  for (const item of items) {
    yield* item.waiting;
    if (item.last !== undefined) yield item.last.waiting;
  }
}
