/** One shared tick for all coalescing buffers of the process: they are written together, in one commit. */
export class Wheel {
  readonly #everyMs: number;
  #due = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Calls `flush` once, at the next tick. */
  add(flush: () => void): void {
    this.#due.add(flush);
    this.#timer ??= setInterval(() => this.#tick(), this.#everyMs);
  }

  remove(flush: () => void): void {
    this.#due.delete(flush);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#due.clear();
  }

  #tick(): void {
    const due = this.#due;
    if (due.size === 0) {
      this.stop();
      return;
    }
    this.#due = new Set();
    for (const flush of due) flush();
  }
}
