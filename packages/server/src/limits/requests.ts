/**
 * Requests a minute, of each token and each organization, right across processes.
 *
 * Buckets are in PostgreSQL; a process takes slices from them ahead of need, so that a request usually costs a look
 * into a map. All processes together let at most the limit and `creditOf` for each process pass.
 */
import { CallboardError } from "@callboard/protocol";
import { type Sql, toRefusal } from "../storage/index.ts";
import { Lease } from "./lease.ts";
import { type Asking, takeRequests } from "./store.ts";

export type RequestSubject = {
  readonly kind: "token" | "organization";
  /** Uuids. */
  readonly organization: string;
  readonly id: string;
  /** Requests a minute; null for no limit. */
  readonly perMinute: number | null;
};

/** How often granted requests that nobody used go back, and after what time without a request. */
const TIDY_MS = 1000;
const IDLE_MS = 2000;
/** A subject is forgotten after this time: its bucket is full again. */
const FORGET_MS = 120_000;
/** Times a request asks before it is refused. */
const ATTEMPTS = 3;

type Entry = { readonly lease: Lease; readonly subject: RequestSubject; waiting: Array<(error?: unknown) => void> };

export type RequestLimitsOptions = {
  sql: Sql;
  /** Asking failed. */
  onError: (error: unknown) => void;
  /** Milliseconds since 1970. */
  now?: () => number;
};

export class RequestLimits {
  readonly #options: RequestLimitsOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  #toAsk = new Set<Entry>();
  #asking: Promise<void> | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(options: RequestLimitsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#timer = setInterval(() => this.#tidy(), TIDY_MS);
    this.#timer.unref();
  }

  /**
   * Lets a request of these subjects pass, at once or when the database has answered.
   *
   * @returns undefined when it passes at once
   * @throws rate_limited, at once or later; unavailable when the database had to be asked and is away
   */
  admit(subjects: readonly RequestSubject[]): Promise<void> | undefined {
    const blocked = this.#take(subjects);
    return blocked === undefined ? undefined : this.#wait(subjects, blocked);
  }

  /** Gives back what was not used, and waits for the asking under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#asking;
    this.#tidy(0);
    await this.#asking;
  }

  async #wait(subjects: readonly RequestSubject[], first: Entry): Promise<void> {
    let blocked: Entry | undefined = first;
    for (let attempt = 1; blocked !== undefined; attempt++) {
      if (attempt > ATTEMPTS) throw refused(blocked.subject, 1000); // others were faster each time
      await this.#answered(blocked);
      blocked = this.#take(subjects);
    }
  }

  /** Takes one request of each subject, or none of any. @returns who has to ask first @throws rate_limited */
  #take(subjects: readonly RequestSubject[]): Entry | undefined {
    const now = this.#now();
    const passed: Entry[] = [];
    for (const subject of subjects) {
      if (subject.perMinute === null) continue;
      const entry = this.#entryOf(subject);
      const taken = entry.lease.take(subject.perMinute, now);
      if (entry.lease.wants(now)) this.#ask(entry);
      if (taken.kind === "passes") {
        passed.push(entry);
        continue;
      }
      for (const { lease } of passed) lease.giveBack();
      if (taken.kind === "refused") throw refused(subject, taken.retryAfterMs);
      return entry;
    }
    return undefined;
  }

  #entryOf(subject: RequestSubject): Entry {
    const known = this.#entries.get(subject.id);
    if (known !== undefined) return known;
    const entry = { lease: new Lease(subject.perMinute as number), subject, waiting: [] };
    this.#entries.set(subject.id, entry);
    return entry;
  }

  #answered(entry: Entry): Promise<void> {
    return new Promise((resolve, reject) => {
      entry.waiting.push((error) => (error === undefined ? resolve() : reject(error)));
      this.#ask(entry);
    });
  }

  #ask(entry: Entry): void {
    this.#toAsk.add(entry);
    this.#asking ??= this.#run().finally(() => {
      this.#asking = undefined;
    });
  }

  /** One statement at a time, for all that ask: what comes meanwhile goes with the next one. */
  async #run(): Promise<void> {
    await new Promise(setImmediate);
    while (this.#toAsk.size > 0) {
      const entries = [...this.#toAsk];
      this.#toAsk = new Set();
      await this.#takeFor(entries.map((entry) => ({ entry, waiting: entry.waiting.splice(0) })));
    }
  }

  async #takeFor(batch: ReadonlyArray<{ entry: Entry; waiting: Entry["waiting"] }>): Promise<void> {
    const askings = batch.map(({ entry, waiting }): Asking => {
      const { organization, id } = entry.subject;
      return { organization, subject: id, ...entry.lease.ask(waiting.length) };
    });
    try {
      const answers = await takeRequests(this.#options.sql, askings);
      const byId = new Map(answers.map((answer) => [answer.subject_id, answer]));
      for (const { entry, waiting } of batch) {
        const answer = byId.get(entry.subject.id);
        if (answer !== undefined) entry.lease.answer(answer.granted, answer.level, this.#now());
        for (const done of waiting) done();
      }
    } catch (error) {
      this.#options.onError(error);
      for (const [i, { entry, waiting }] of batch.entries()) {
        entry.lease.unasked((askings[i] as Asking).debt);
        for (const done of waiting) done(toRefusal(error));
      }
    }
  }

  /** Gives back what idle subjects were granted, and forgets those that were idle for long. */
  #tidy(idleMs = IDLE_MS): void {
    const now = this.#now();
    for (const [id, entry] of this.#entries) {
      const idle = entry.lease.idleMs(now);
      if (idle >= idleMs && entry.lease.release()) this.#ask(entry);
      else if (idle > FORGET_MS) this.#entries.delete(id);
    }
  }
}

function refused({ kind, perMinute }: RequestSubject, retryAfterMs: number): CallboardError {
  const who = kind === "token" ? "this token" : "the organization";
  return new CallboardError("rate_limited", `${who} may make ${perMinute} requests a minute`, {
    limit: kind,
    requests_per_minute: perMinute,
    retry_after_ms: Math.max(1, Math.ceil(retryAfterMs)),
  });
}
