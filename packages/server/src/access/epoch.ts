/**
 * Each organization counts the changes to who may do what: `access_epoch`.
 *
 *   change ── bump in its transaction ── commit ── wake "access" ── every process drops what it remembers
 *
 * E1: what is remembered was read in one statement with the epoch it is true for.
 * E2: a wake-up may be lost or late; a write checks the epoch again, so only a read can be a second old.
 * E3: a change of access is before an act or after it, never during it. Whatever a caller writes compares the epoch in
 *     the transaction that writes it, with the organization's row under a share lock until the commit; a change of
 *     access takes a lock that waits for those. An act takes the share lock after the thread's and whatever else it
 *     may have to wait for, so that acts which queue for one another hold no change of access up; and what changes
 *     access waits for no thread, run, file or job.
 */
import { fromUuid, type OrganizationId, toUuid } from "@callboard/protocol";
import { statement, type Transaction, type Wakes } from "../storage/index.ts";
import { Lru } from "./lru.ts";

/** The two ends of the `access` wake-up. */
export type AccessWakes = Pick<Wakes, "on" | "send">;

const bump = statement(
  "access.bump",
  "update organizations set access_epoch = access_epoch + 1 where id = $1 returning access_epoch",
);

/**
 * Says that the organization's access changed: new epoch, and a wake-up after the commit.
 *
 * Locks the organization's row, so changes of one organization follow one another.
 */
export async function accessChanged(
  tx: Transaction,
  wakes: Pick<AccessWakes, "send">,
  organizationId: OrganizationId,
): Promise<void> {
  const uuid = toUuid(organizationId);
  await tx.run(bump, [uuid]);
  tx.after(() => wakes.send("access", uuid));
}

const share = statement("access.share", "select access_epoch from organizations where id = $1 for share");
/** The epoch, which stays what it is until the transaction ends (E3); undefined without the organization. */
export async function shareEpoch(tx: Transaction, organizationId: OrganizationId): Promise<number | undefined> {
  return (await tx.row<{ access_epoch: number }>(share, [toUuid(organizationId)]))?.access_epoch;
}

/** Calls `drop` with each organization whose access changed; undefined stands for all of them. */
export function onAccessChange(
  wakes: Pick<AccessWakes, "on">,
  drop: (organizationId: OrganizationId | undefined) => void,
): () => void {
  return wakes.on("access", (keys) => {
    for (const key of keys) drop(key === "*" ? undefined : fromUuid("organization", key));
  });
}

export type AtEpoch<Value> = { readonly epoch: number; readonly value: Value };
type Entry<Value> = AtEpoch<Value> & { readonly organizationId: OrganizationId; readonly readAtMs: number };

export type EpochCacheOptions = {
  wakes: Pick<AccessWakes, "on">;
  /** Entries of all organizations together. */
  capacity: number;
  /** Milliseconds after which an entry is read anew even if no wake-up came. */
  maxAgeMs: number;
  now?: () => number;
};

/** Remembers values of organizations for as long as their access does not change. */
export class EpochCache<Value> {
  readonly #options: EpochCacheOptions;
  readonly #now: () => number;
  readonly #entries: Lru<string, Entry<Value>>;
  readonly #reading = new Map<string, Promise<AtEpoch<Value>>>();
  readonly #unsubscribe: () => void;
  #generation = 0;

  constructor(options: EpochCacheOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#entries = new Lru(options.capacity);
    this.#unsubscribe = onAccessChange(options.wakes, (organizationId) => this.#drop(organizationId));
  }

  /**
   * The value under `key`, not older than `epoch`; reads under way are shared.
   *
   * @param read the value with the epoch that the same statement saw; what it throws is not remembered
   * @param epoch the least epoch the value must be true for; absent takes any that is young enough
   */
  async get(
    organizationId: OrganizationId,
    key: string,
    read: () => Promise<AtEpoch<Value>>,
    epoch = 0,
  ): Promise<AtEpoch<Value>> {
    const full = `${organizationId}/${key}`;
    const entry = this.known(organizationId, key, epoch);
    if (entry !== undefined) return entry;
    const shared = this.#reading.get(full);
    if (shared !== undefined) {
      const found = await shared;
      if (found.epoch >= epoch) return found;
    }
    const reading = this.#read(organizationId, full, read);
    this.#reading.set(full, reading);
    try {
      return await reading;
    } finally {
      if (this.#reading.get(full) === reading) this.#reading.delete(full);
    }
  }

  /** What is remembered, without a read. */
  known(organizationId: OrganizationId, key: string, epoch = 0): AtEpoch<Value> | undefined {
    const entry = this.#entries.get(`${organizationId}/${key}`);
    const isGood = entry !== undefined && entry.epoch >= epoch && this.#now() - entry.readAtMs < this.#options.maxAgeMs;
    return isGood ? entry : undefined;
  }

  close(): void {
    this.#unsubscribe();
  }

  async #read(
    organizationId: OrganizationId,
    full: string,
    read: () => Promise<AtEpoch<Value>>,
  ): Promise<AtEpoch<Value>> {
    const generation = this.#generation;
    const readAtMs = this.#now();
    const found = await read();
    // A wake-up while the read was under way may have meant exactly this value.
    if (generation === this.#generation) this.#entries.set(full, { ...found, organizationId, readAtMs });
    return found;
  }

  #drop(organizationId: OrganizationId | undefined): void {
    this.#generation++;
    this.#reading.clear();
    this.#entries.deleteWhere((entry) => organizationId === undefined || entry.organizationId === organizationId);
  }
}
