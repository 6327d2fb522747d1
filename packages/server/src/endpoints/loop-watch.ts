/**
 * Notices when something keeps the process's one thread for itself, and names the endpoints that were under way:
 * one of them did it, or a tool. While a thread is kept, nobody else is served.
 */
import type { Logger } from "../log/index.ts";

const TICK_MS = 100;
/** Kept for so long is worth a line. */
const BLOCKED_MS = 500;
const MAX_NAMES = 8;

export class LoopWatch {
  readonly #log: Logger;
  /** Calls under way, by endpoint. */
  readonly #underWay = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #tickedAtMs = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  enter(endpoint: string): void {
    if (this.#timer === undefined) {
      this.#tickedAtMs = performance.now();
      this.#timer = setInterval(() => this.#tick(), TICK_MS);
      this.#timer.unref();
    }
    this.#underWay.set(endpoint, (this.#underWay.get(endpoint) ?? 0) + 1);
  }

  leave(endpoint: string): void {
    this.#tick(); // a handler that blocked and returned is over before the timer fires
    const left = (this.#underWay.get(endpoint) ?? 1) - 1;
    if (left > 0) this.#underWay.set(endpoint, left);
    else this.#underWay.delete(endpoint);
    if (this.#underWay.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - this.#tickedAtMs - TICK_MS;
    this.#tickedAtMs = nowMs;
    if (lateMs < BLOCKED_MS) return;
    const endpoints = [...this.#underWay.keys()].slice(0, MAX_NAMES);
    this.#log.warn(
      { blocked_ms: Math.round(lateMs), endpoints },
      "the event loop was blocked while endpoints were called",
    );
  }
}
