/** Waiting for something that may happen again and again, until a time is up or a signal is aborted. */
export class Wakeup {
  readonly #signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  #pending = false;
  #resolve: (() => void) | undefined;
  /** Nobody waits any longer. */
  over = false;

  constructor(ms: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#timer = setTimeout(this.#finish, ms);
    if (signal.aborted) this.over = true;
    signal.addEventListener("abort", this.#finish, { once: true });
  }

  readonly wake = (): void => {
    this.#pending = true;
    this.#resolve?.();
  };

  /** Resolves when it was woken since the last time, or when it is over. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = () => {
        this.#resolve = undefined;
        this.#pending = false;
        resolve();
      };
      if (this.#pending || this.over) this.#resolve();
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#finish);
  }

  readonly #finish = (): void => {
    this.over = true;
    this.#resolve?.();
  };
}
