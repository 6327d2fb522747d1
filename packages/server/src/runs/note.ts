/** What somebody who does not work on a run says in its log, such as the endpoint that started it. */
import type { EventData, EventType } from "@callboard/protocol";
import { type Feed, newEvent } from "../events/index.ts";
import { type Sql, statement } from "../storage/index.ts";
import type { RunKey } from "./run.ts";

// The thread row is locked and the run's turn checked in the update that numbers the events, as in every commit of a
// run (C1); so nothing follows a run's last event.
const note = statement(
  "runs.note",
  `with moved as (
     update threads t set last_seq = t.last_seq + cardinality($4::text[])
      where t.organization_id = $1 and t.id = $2 and t.active_run_id = $3
     returning t.last_seq - cardinality($4::text[]) as base),
   events_written as (
     insert into events (organization_id, thread_id, seq, run_id, type, body)
     select $1, $2, m.base + e.n, $3, e.ty, e.b
       from moved m cross join unnest($4::text[], $5::text[]) with ordinality as e(ty, b, n))
   select base from moved`,
);

export type Note<T extends EventType = EventType> = { type: T; data: EventData<T>; at: string };

/** Adds events to the log of a run that goes on. @returns false when it is not its thread's active run */
export async function noteOnRun(sql: Sql, feed: Feed, key: RunKey, notes: readonly Note[]): Promise<boolean> {
  const events = notes.map(({ type, data, at }) => newEvent(key.threadId, key.runId, type, data, at));
  const types = events.map((event) => event.type);
  const bodies = events.map((event) => event.body);
  const row = await sql.row<{ base: number }>(note, [key.organization, key.thread, key.run, types, bodies]);
  if (row === undefined) return false;
  feed.publish(
    key,
    events.map(({ type, body }, i) => ({ seq: row.base + i + 1, type, body })),
  );
  return true;
}
