/**
 * A thread under lock: what happens to it in one transaction is collected here and written at the end.
 *
 * The row is locked first, events get their numbers from it, and followers are told after the commit.
 */
import { type EventData, type EventType, fromUuid, type OrganizationId, type ThreadId } from "@callboard/protocol";
import { type Feed, insertEvents, type NewEvent, newEvent } from "../events/index.ts";
import type { Transaction } from "../storage/index.ts";
import { type HeldThread, holdThread, lockThread, putThread, type ThreadRow } from "../threads/index.ts";

export class ThreadLog {
  readonly row: ThreadRow;
  /** The organization's access epoch until the transaction ends; null where nobody's rights are asked for. */
  readonly epoch: number | null;
  readonly #tx: Transaction;
  readonly #first: number;
  readonly #events: Array<{ run: string | null; event: NewEvent }> = [];
  readonly at: string;
  /** The event appended last. */
  last: { id: string; seq: number } = { id: "", seq: 0 };

  private constructor(tx: Transaction, row: ThreadRow | HeldThread, at: string) {
    this.#tx = tx;
    this.row = row;
    this.epoch = "access_epoch" in row ? row.access_epoch : null;
    this.#first = row.last_seq + 1;
    this.at = at;
  }

  /** Locks the thread, for what the server does by itself; undefined when there is none. */
  static async lock(
    tx: Transaction,
    organizationId: OrganizationId,
    threadId: ThreadId,
    at: string,
  ): Promise<ThreadLog | undefined> {
    const row = await lockThread(tx, organizationId, threadId);
    return row === undefined ? undefined : new ThreadLog(tx, row, at);
  }

  /** The same with the organization's access held still, for whoever acts with somebody's rights. */
  static async hold(
    tx: Transaction,
    organizationId: OrganizationId,
    threadId: ThreadId,
    at: string,
  ): Promise<ThreadLog | undefined> {
    const row = await holdThread(tx, organizationId, threadId);
    return row === undefined ? undefined : new ThreadLog(tx, row, at);
  }

  /** Adds an event; it is in the log when the transaction commits. */
  append<T extends EventType>(type: T, run: string | null, data: EventData<T>): { id: string; seq: number } {
    const runId = run === null ? null : fromUuid("run", run);
    const event = newEvent(fromUuid("thread", this.row.id), runId, type, data, this.at);
    this.#events.push({ run, event });
    this.row.last_seq++;
    this.last = { id: event.id, seq: this.row.last_seq };
    return this.last;
  }

  /** Writes the thread and its new events. */
  async save(feed: Feed): Promise<void> {
    this.row.updated_at = this.at;
    await putThread(this.#tx, this.row);
    const events = this.#events;
    if (events.length === 0) return;
    const key = { organization: this.row.organization_id, thread: this.row.id };
    const first = this.#first;
    await insertEvents(
      this.#tx,
      key,
      first,
      events.map(({ run, event }) => ({ run, type: event.type, body: event.body })),
    );
    this.#tx.after(() =>
      feed.publish(
        key,
        events.map(({ event }, i) => ({ seq: first + i, type: event.type, body: event.body })),
      ),
    );
  }
}
