/**
 * One subject's bucket of requests, as one process sees it. Pure: times and answers come in as arguments.
 *
 *   request ─┬─ granted ahead ──▶ passes
 *            ├─ on credit ──────▶ passes, and is told to the database with the next asking
 *            ├─ empty, as the database said ──▶ refused until it has filled up
 *            └─ else ──▶ waits for the database's answer
 *
 * L1: what passes is what was granted, and at most `credit` more that the database does not know of yet.
 */

/** A part of a minute's requests: what is asked for ahead of need, and what may pass before the first answer. */
const SLICE = 1 / 60;
const CREDIT = 1 / 600;

const sliceOf = (perMinute: number): number => Math.max(1, Math.ceil(perMinute * SLICE));

/** Requests that a process may let pass beyond the limit: the bound of the error is this for each process. */
export const creditOf = (perMinute: number): number => Math.max(1, Math.floor(perMinute * CREDIT));

export type Take = { kind: "passes" } | { kind: "waits" } | { kind: "refused"; retryAfterMs: number };

export class Lease {
  /** Requests a minute. */
  #perMinute: number;
  /** Granted and not used. */
  #left = 0;
  /** Passed and not yet told. */
  #debt = 0;
  /** Told with the asking under way: until its answer the database may not know of it. */
  #told = 0;
  /** The limit that the asking under way named. */
  #asked: number;
  /** Granted, not used, and on its way back. */
  #back = 0;
  #emptyUntilMs = 0;
  #usedAtMs = 0;
  /** Nothing is asked for ahead of need. */
  #isIdle = false;

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
    this.#asked = perMinute;
  }

  take(perMinute: number, nowMs: number): Take {
    if (perMinute !== this.#perMinute) {
      // What was granted under another limit says nothing about this one.
      this.#perMinute = perMinute;
      this.#emptyUntilMs = 0;
      this.release();
    }
    this.#usedAtMs = nowMs;
    this.#isIdle = false;
    if (this.#left >= 1) {
      this.#left--;
      return { kind: "passes" };
    }
    if (nowMs < this.#emptyUntilMs) return { kind: "refused", retryAfterMs: this.#emptyUntilMs - nowMs };
    if (this.#debt + this.#told < creditOf(perMinute)) {
      this.#debt++;
      return { kind: "passes" };
    }
    return { kind: "waits" };
  }

  /** A request that passed here was refused elsewhere: it does not count. */
  giveBack(): void {
    if (this.#debt > 0) this.#debt--;
    else this.#left++;
  }

  /** Whether it is time to ask, so that the next requests find something. */
  wants(nowMs: number): boolean {
    return nowMs >= this.#emptyUntilMs && (this.#debt > 0 || this.#left < sliceOf(this.#perMinute) / 2);
  }

  /** What to tell and to ask now; a debt below 0 goes back. @param waiting requests that wait for the answer */
  ask(waiting: number): { perMinute: number; debt: number; asked: number } {
    const debt = this.#debt - this.#back;
    this.#told = this.#debt;
    this.#asked = this.#perMinute;
    this.#debt = 0;
    this.#back = 0;
    return { perMinute: this.#perMinute, debt, asked: waiting + (this.#isIdle ? 0 : sliceOf(this.#perMinute)) };
  }

  /** The asking failed: what was told is still to be told. */
  unasked(debt: number): void {
    this.#told = 0;
    if (debt > 0) this.#debt += debt;
    else this.#back -= debt;
  }

  /** @param level what the bucket holds after this; below 0 when more has passed than it held */
  answer(granted: number, level: number, nowMs: number): void {
    this.#told = 0;
    if (this.#asked !== this.#perMinute) {
      this.#back += granted; // it was asked for under another limit
      return;
    }
    this.#left += granted;
    if (this.#left < 1 && level < 1) this.#emptyUntilMs = nowMs + ((1 - level) * 60_000) / this.#perMinute;
  }

  /** What is not needed goes back with the next asking. @returns false when there is nothing to give back */
  release(): boolean {
    if (this.#left + this.#back === 0) return false;
    this.#back += this.#left;
    this.#left = 0;
    this.#isIdle = true;
    return true;
  }

  idleMs(nowMs: number): number {
    return nowMs - this.#usedAtMs;
  }
}
