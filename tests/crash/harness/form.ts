/** Short or full: how often and how much. And the random choices of both, which a seed repeats. */

export const isFull = process.env.CRASH_ROUNDS === "full";

/** One of two sizes. */
export const size = (short: number, full: number): number => (isFull ? full : short);

/** For tests that wait for leases to run out, a few times over. */
export const LONG = { timeout: size(600_000, 1_800_000) };

export const seed = Number(process.env.CRASH_SEED ?? Date.now() % 1_000_000);

let state = seed;
/** From 0 up to 1. Source: the mulberry32 generator, public domain. */
export function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
}

export const between = (low: number, high: number): number => low + random() * (high - low);

export const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;

/** Prints figures; only the full form does. */
export function tell(figures: Record<string, unknown>): void {
  if (isFull) process.stdout.write(`\n${JSON.stringify({ seed, ...figures })}\n`);
}
