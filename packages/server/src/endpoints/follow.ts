/**
 * Following a job: what its handler said, in order, and its end.
 *
 * F1  Events come in the order of `seq`, none twice; from the same place always the same bytes.
 * F2  The last event is made from the job's row: a result is stored once. Nothing follows it.
 * F3  A reader that is not ready is left alone; nothing is held for it.
 */
import { isJobEnded, type JobEventType, type Json } from "@callboard/protocol";
import type { LoggedEvent } from "../events/index.ts";
import type { EndpointWorld } from "./asked.ts";
import { type JobRow, jobIdOf, lastSeqOf } from "./job.ts";
import { findJob, type JobEventRow, jobEvents } from "./store.ts";
import type { JobWatch } from "./watch.ts";

/** Events of one read. */
const PAGE = 500;
const AGAIN_MS = 1000;

export type JobReader = {
  /** Takes events in order. Answers false when it wants no more until `resume` is called. */
  deliver(events: readonly LoggedEvent[]): boolean;
  /** Nothing follows: the job's last event was delivered, or the job is gone. */
  end(): void;
};

export class JobFollower {
  readonly #world: EndpointWorld;
  readonly #reader: JobReader;
  readonly #off: () => void;
  #row: JobRow;
  #seq: number;
  #reading = false;
  /** There may be more to read. */
  #behind = true;
  #ready = true;
  #closed = false;
  #again: NodeJS.Timeout | undefined;

  constructor(world: EndpointWorld, watch: JobWatch, row: JobRow, afterSeq: number, reader: JobReader) {
    this.#world = world;
    this.#reader = reader;
    this.#row = row;
    this.#seq = afterSeq;
    this.#off = watch.watch(row, "all", () => this.#wake());
    this.#wake();
  }

  /** The reader takes events again. */
  resume(): void {
    this.#ready = true;
    this.#go();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#off();
  }

  #wake(): void {
    this.#behind = true;
    this.#go();
  }

  #go(): void {
    if (this.#reading || !this.#behind || !this.#ready || this.#closed) return;
    this.#reading = true;
    this.#read()
      .catch(() => {
        // The database is away; the reader keeps its place.
        this.#behind = true;
        this.#again = setTimeout(() => this.#wake(), AGAIN_MS);
        return false;
      })
      .then((goOn) => {
        this.#reading = false;
        if (goOn) this.#go();
      });
  }

  /** Reads one page. @returns whether to go on at once when there is more */
  async #read(): Promise<boolean> {
    this.#behind = false;
    const { database } = this.#world;
    const { organization_id: organization, id } = this.#row;
    // The row first: when it has ended, all that was said before is there to be read.
    const row = await findJob(database, organization, id);
    const said = row === undefined ? [] : await jobEvents(database, organization, id, this.#seq, PAGE);
    if (this.#closed) return false;
    if (row === undefined) return this.#end();
    const isWhole = said.length < PAGE;
    const events = said.map((event) => toLogged(row, event));
    const last = endOf(row);
    if (last !== undefined && isWhole && this.#seq < last.seq) events.push(last);
    if (events.length > 0) {
      this.#seq = (events.at(-1) as LoggedEvent).seq;
      this.#ready = this.#reader.deliver(events);
    }
    if (last !== undefined && isWhole) return this.#end();
    if (!isWhole) this.#behind = true;
    return true;
  }

  #end(): false {
    this.close();
    this.#reader.end();
    return false;
  }
}

/** The event of a job's end; undefined while it goes on. */
function endOf(row: JobRow): LoggedEvent | undefined {
  if (!isJobEnded(row.state)) return undefined;
  const [type, data]: [JobEventType, string] =
    row.state === "completed"
      ? ["job.completed", `{"result":${row.result}}`]
      : [row.state === "failed" ? "job.failed" : "job.canceled", JSON.stringify({ error: row.error as Json })];
  return toLogged(row, { seq: lastSeqOf(row), type, data, created_at: row.ended_at as string });
}

/** The log's way of writing an event: its text without the number in front. */
const toLogged = (row: JobRow, { seq, type, data, created_at: at }: JobEventRow): LoggedEvent => ({
  seq,
  type,
  body: `"job_id":"${jobIdOf(row)}","type":"${type}","data":${data},"created_at":"${at}"}`,
});
