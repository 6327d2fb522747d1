/**
 * Failures of one address: guessing is slowed down. Each process counts for itself; nothing is stored.
 *
 * An address that has used up its failures is refused until some have come back, a minute's number in a minute.
 */
import { CallboardError } from "@callboard/protocol";

/** Addresses that are remembered; beyond it the one that failed longest ago is forgotten. */
const CAPACITY = 50_000;

export type FailureLimitOptions = {
  /** Failures a minute; 0 for no limit. */
  perMinute: number;
  /** Milliseconds since 1970. */
  now?: () => number;
};

export class FailureLimit {
  readonly #perMinute: number;
  readonly #now: () => number;
  /** How many an address has left, and when that was true. In the order of failures. */
  readonly #left = new Map<string, { left: number; atMs: number }>();

  constructor({ perMinute, now = Date.now }: FailureLimitOptions) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Notes that somebody at the address failed. */
  failed(address: string): void {
    if (this.#perMinute === 0) return;
    const left = this.#leftOf(address) - 1;
    this.#left.delete(address);
    this.#left.set(address, { left: Math.max(0, left), atMs: this.#now() });
    if (this.#left.size <= CAPACITY) return;
    const oldest = this.#left.keys().next();
    if (!oldest.done) this.#left.delete(oldest.value);
  }

  /** @throws rate_limited when the address has failed too often */
  require(address: string): void {
    if (this.#perMinute === 0) return;
    const left = this.#leftOf(address);
    if (left >= 1) return;
    const message = "too many requests from this address failed to say who is asking";
    throw new CallboardError("rate_limited", message, {
      limit: "address",
      retry_after_ms: Math.ceil(((1 - left) * 60_000) / this.#perMinute),
    });
  }

  #leftOf(address: string): number {
    const known = this.#left.get(address);
    if (known === undefined) return this.#perMinute;
    const back = ((this.#now() - known.atMs) * this.#perMinute) / 60_000;
    return Math.min(this.#perMinute, known.left + Math.max(0, back));
  }
}
