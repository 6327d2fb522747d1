/**
 * What is open for a caller — a stream, a request that waits, a call of an endpoint — ends when its access does.
 *
 *   access changed (wake-up) ─┬─▶ the caller as it stands now ─▶ may it go on? ─ no ─▶ ended with the refusal
 *   a look now and then ──────┘
 */
import { CallboardError, toUuid } from "@callboard/protocol";
import type { Authenticator, Caller } from "../access/index.ts";
import type { Wakes } from "../storage/index.ts";
import { callerAfter } from "./caller.ts";

/** A wake-up may be lost. */
const LOOK_MS = 15_000;

/** Whether a caller may have what is open: asked again of the caller as it stands later. @throws a refusal */
export type MayGoOn = (caller: Caller) => unknown;

export type OpenRequest = {
  readonly caller: Caller;
  readonly mayGoOn: MayGoOn;
  /** Called once at most. */
  end(refusal: CallboardError): void;
};
type Entry = OpenRequest & { touched: boolean };

export class OpenRequests {
  readonly #authenticator: Pick<Authenticator, "refresh">;
  readonly #entries = new Set<Entry>();
  readonly #timers: NodeJS.Timeout[];
  readonly #unsubscribe: () => void;

  constructor(authenticator: Pick<Authenticator, "refresh">, wakes: Pick<Wakes, "on">) {
    this.#authenticator = authenticator;
    this.#unsubscribe = wakes.on("access", (organizations) => void this.#recheck(organizations));
    this.#timers = [
      // A token's end by time is nobody's act.
      setInterval(() => this.#endExpired(), 1000),
      setInterval(() => void this.#recheck(["*"]), LOOK_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Looks after something that is open until the returned function is called. */
  add(open: OpenRequest): () => void {
    const entry = { ...open, touched: false };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /**
   * What `work` finds, for a caller who may still have it then.
   *
   * @param work ends when its `stop` is aborted: with `signal`, or because the caller's access has ended
   * @throws unauthenticated or what `mayGoOn` throws, at once when access ends; what `work` throws
   */
  async wait<T>(
    { caller, signal }: { caller: Caller; signal: AbortSignal },
    mayGoOn: MayGoOn,
    work: (stop: AbortController) => Promise<T>,
  ): Promise<T> {
    // One controller for both reasons to stop: cheaper on every request than a signal made of two.
    const stop = new AbortController();
    const left = () => stop.abort(signal.reason);
    if (signal.aborted) left();
    signal.addEventListener("abort", left, { once: true });
    let refusal: CallboardError | undefined;
    const end = (error: CallboardError) => {
      refusal = error;
      stop.abort(error);
    };
    const entry: Entry = { caller, mayGoOn, end, touched: false };
    this.#entries.add(entry);
    const startedMs = performance.now();
    try {
      const found = await work(stop);
      if (refusal !== undefined) throw refusal;
      const now = entry.touched
        ? await this.#authenticator.refresh(caller)
        : await callerAfter(this.#authenticator, caller, startedMs);
      if (now !== caller) await mayGoOn(now);
      return found;
    } finally {
      signal.removeEventListener("abort", left);
      this.#entries.delete(entry);
    }
  }

  stop(): void {
    this.#unsubscribe();
    for (const timer of this.#timers) clearInterval(timer);
  }

  #endExpired(): void {
    const nowMs = Date.now();
    for (const entry of this.#entries) {
      const { expiresAtMs } = entry.caller;
      if (expiresAtMs === null || expiresAtMs > nowMs) continue;
      this.#end(entry, new CallboardError("unauthenticated", "the token has expired"));
    }
  }

  /** One read for each secret. */
  async #recheck(organizations: readonly string[]): Promise<void> {
    const bySecret = new Map<string, Entry[]>();
    for (const entry of this.#entries) {
      const { organizationId, tokenId, secretVersion } = entry.caller;
      if (!organizations.includes("*") && !organizations.includes(toUuid(organizationId))) continue;
      entry.touched = true;
      const key = `${tokenId} ${secretVersion}`;
      const list = bySecret.get(key);
      if (list === undefined) bySecret.set(key, [entry]);
      else list.push(entry);
    }
    await Promise.all([...bySecret.values()].map((entries) => this.#recheckOf(entries)));
  }

  async #recheckOf(entries: readonly Entry[]): Promise<void> {
    const [{ caller }] = entries as readonly [Entry];
    let now: Caller;
    try {
      now = await this.#authenticator.refresh(caller);
    } catch (error) {
      if (error instanceof CallboardError && error.code === "unauthenticated") {
        for (const entry of entries) this.#end(entry, error);
      }
      return; // the database is away: the next look decides
    }
    for (const entry of entries) await this.#askOf(entry, now);
  }

  async #askOf(entry: Entry, now: Caller): Promise<void> {
    try {
      await entry.mayGoOn(now);
    } catch (error) {
      if (error instanceof CallboardError && error.status < 500) this.#end(entry, error);
    }
  }

  #end(entry: Entry, refusal: CallboardError): void {
    if (this.#entries.delete(entry)) entry.end(refusal);
  }
}
