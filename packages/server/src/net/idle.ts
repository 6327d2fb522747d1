/**
 * One coarse clock for all connections that may fall silent: a thousand waiting calls cost one timer and
 * four wake-ups a second, and a chunk that arrives costs one assignment.
 */
const TICK_MS = 250;

export type IdleWatch = {
  /** Something arrived. */
  touch(): void;
  /** Ends the watch; may be called twice. */
  stop(): void;
};

class Watch implements IdleWatch {
  seenAt: number;
  readonly ticks: number;
  readonly onIdle: () => void;

  constructor(ticks: number, onIdle: () => void) {
    this.seenAt = now;
    this.ticks = ticks;
    this.onIdle = onIdle;
  }

  touch(): void {
    this.seenAt = now;
  }

  stop(): void {
    watches.delete(this);
    if (watches.size === 0 && timer !== undefined) {
      clearInterval(timer);
      timer = undefined;
    }
  }
}

// Counts ticks instead of reading a clock: while the event loop is blocked, nobody is called silent.
let now = 0;
let timer: NodeJS.Timeout | undefined;
const watches = new Set<Watch>();

function tick(): void {
  now++;
  for (const watch of watches) {
    if (now - watch.seenAt <= watch.ticks) continue;
    watch.stop();
    watch.onIdle();
  }
}

/**
 * Calls `onIdle` once when `idleMs` pass without a `touch`, at most half a second late.
 *
 * @param onIdle must not throw
 */
export function watchIdle(idleMs: number, onIdle: () => void): IdleWatch {
  const watch = new Watch(Math.ceil(idleMs / TICK_MS), onIdle);
  watches.add(watch);
  timer ??= setInterval(tick, TICK_MS).unref();
  return watch;
}
