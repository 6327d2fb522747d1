/**
 * Who waits for jobs in this process: long polls and streams.
 *
 *   end, cancel ── wake `job` ───────┐
 *   relayStatus ── wake `jobStatus` ─┼─▶ watchers of that job ─▶ each reads what it needs
 *   one look a second at all of them ┘   (a lost wake-up costs a moment)
 *
 * W1  Whoever watches reads after it began to watch: what happens in between wakes it.
 * W2  A job that is read here is not abandoned: the look moves its time on, for any number of readers.
 */
import type { JobState } from "@callboard/protocol";
import { errorFacts } from "../log/index.ts";
import type { EndpointWorld } from "./asked.ts";
import type { JobRow } from "./job.ts";
import { jobStates, touchJobs } from "./store.ts";

const LOOK_MS = 1000;
/** Looks between two that go to the database while no other process is there to lose a wake-up. */
const LOOKS_ALONE = 5;

/** `end`: only when the job has another state or is gone. `all`: also when its handler says something. */
export type Interest = "end" | "all";
type Watcher = { interest: Interest; wake: () => void };
type Watched = { row: JobRow; seen: { state: JobState | null; lastSeq: number }; watchers: Watcher[] };

export class JobWatch {
  readonly #world: EndpointWorld;
  /** By the job's uuid. */
  readonly #jobs = new Map<string, Watched>();
  readonly #off: Array<() => void>;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #sinceLook = 0;

  constructor(world: EndpointWorld) {
    this.#world = world;
    this.#off = [
      world.wakes.on("job", (ids) => this.#woken(ids, "end")),
      world.wakes.on("jobStatus", (ids) => this.#woken(ids, "all")),
    ];
  }

  /** Calls `wake` whenever the job may have changed, until the returned function is called. */
  watch(row: JobRow, interest: Interest, wake: () => void): () => void {
    let job = this.#jobs.get(row.id);
    if (job === undefined) {
      job = { row, seen: { state: row.state, lastSeq: row.last_seq }, watchers: [] };
      this.#jobs.set(row.id, job);
      this.#timer ??= setInterval(() => void this.#look(), LOOK_MS);
    }
    const watched = job;
    const watcher = { interest, wake };
    watched.watchers = [...watched.watchers, watcher];
    return () => {
      watched.watchers = watched.watchers.filter((one) => one !== watcher);
      if (watched.watchers.length === 0 && this.#jobs.get(row.id) === watched) this.#jobs.delete(row.id);
      if (this.#jobs.size === 0) this.#rest();
    };
  }

  /** Somebody reads the job now, and goes on. */
  async touch(row: JobRow): Promise<void> {
    if (row.abandon_after_ms !== null) await touchJobs(this.#world.database, [row]);
  }

  /** Wakes everybody once more, for the last time. */
  stop(): void {
    for (const off of this.#off) off();
    this.#rest();
    for (const job of [...this.#jobs.values()]) wake(job, "end");
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #woken(ids: readonly string[], what: Interest): void {
    for (const id of ids.includes("*") ? [...this.#jobs.keys()] : ids) {
      const job = this.#jobs.get(id);
      if (job !== undefined) wake(job, what);
    }
  }

  async #look(): Promise<void> {
    const { wakes, log } = this.#world;
    this.#sinceLook++;
    const due = wakes.othersAlive || this.#sinceLook >= LOOKS_ALONE;
    if (this.#looking) return;
    this.#looking = true;
    try {
      await this.#touchAll();
      if (due) await this.#compare();
    } catch (error) {
      log.warn({ error: errorFacts(error) }, "jobs could not be looked at");
    } finally {
      this.#looking = false;
    }
  }

  async #touchAll(): Promise<void> {
    const rows = [...this.#jobs.values()].map(({ row }) => row).filter((row) => row.abandon_after_ms !== null);
    if (rows.length > 0) await touchJobs(this.#world.database, rows);
  }

  /** One statement for all jobs that are watched here. */
  async #compare(): Promise<void> {
    this.#sinceLook = 0;
    const jobs = [...this.#jobs.values()];
    const states = await jobStates(
      this.#world.database,
      jobs.map(({ row }) => row),
    );
    const known = new Map(states.map((one) => [one.id, one]));
    for (const job of jobs) {
      const now = known.get(job.row.id);
      const { state, lastSeq } = job.seen;
      job.seen = { state: now?.state ?? null, lastSeq: now?.last_seq ?? lastSeq };
      if (job.seen.state !== state) wake(job, "end");
      else if (job.seen.lastSeq !== lastSeq) wake(job, "all");
    }
  }
}

/** An end wakes all; a status those who want to know. */
function wake(job: Watched, what: Interest): void {
  for (const watcher of job.watchers) if (what === "end" || watcher.interest === "all") watcher.wake();
}
