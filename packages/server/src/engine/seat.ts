/**
 * A run's place among the slots of its process. One that waits for agents it has called rests: it takes no slot,
 * so that those agents' runs find one, however few there are.
 */
export type Seat = {
  /**
   * The run begins to wait; followed by `back` when it answers true.
   *
   * @param must the run has to wait here, because nobody could go on with it elsewhere
   * @returns false when as many runs rest here as may: this one should wait in the database
   */
  rest(must: boolean): boolean;
  back(): void;
};

/** The seats of one process: at most `slots` runs work, and beside them at most as many rest. */
export class Seats {
  readonly #slots: number;
  readonly #onFree: () => void;
  #resting = 0;

  /** @param onFree a slot became free */
  constructor(slots: number, onFree: () => void) {
    this.#slots = slots;
    this.#onFree = onFree;
  }

  /** Slots that are free while so many runs are here. */
  free(runs: number): number {
    return this.#slots - (runs - this.#resting);
  }

  /** For one run, which may wait for several agents at once. */
  seat(): Seat {
    return new OneSeat(this);
  }

  /** @returns false when as many runs rest as may */
  enter(must: boolean): boolean {
    if (!must && this.#resting >= this.#slots) return false;
    this.#resting++;
    this.#onFree();
    return true;
  }

  leave(): void {
    this.#resting--;
  }
}

class OneSeat implements Seat {
  readonly #seats: Seats;
  #waits = 0;

  constructor(seats: Seats) {
    this.#seats = seats;
  }

  rest(must: boolean): boolean {
    if (this.#waits === 0 && !this.#seats.enter(must)) return false;
    this.#waits++;
    return true;
  }

  back(): void {
    if (--this.#waits === 0) this.#seats.leave();
  }
}
