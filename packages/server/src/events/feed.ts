/**
 * Following a log: subscribe, then read after the cursor, then go on with what is committed.
 *
 *   commits of this process ──▶ publish ─┐
 *   NOTIFY of another process ─▶ wake ───┼─▶ follower (cursor) ──▶ its reader
 *   slow poll ─────────────────▶ wake ───┘
 *
 * F1  A follower delivers events in the order of `seq`, none twice, none left out.
 * F2  A published event is delivered only when it is the next one; a gap means that somebody else wrote
 *     in between, and the follower reads the log instead. This is safe because a thread's events commit
 *     in the order of their numbers: the thread row is locked while they are given.
 * F3  A follower holds no backlog: a reader that is not ready is left alone, and when it is ready again the
 *     follower reads the log after its cursor.
 */
import type { Database, Wakes } from "../storage/index.ts";
import type { LoggedEvent } from "./event.ts";
import { eventsAfter, eventsOfMany, type LogKey, logsBehind } from "./store.ts";

export type Reader = {
  /** Takes events in order. Answers false when it wants no more until `resume` is called. */
  deliver(events: readonly LoggedEvent[]): boolean;
  /** The thread is gone or the log cannot be read: nothing follows. */
  end(reason: "deleted" | "failed"): void;
};

/** Events and bytes of one read. */
const PAGE = 500;
const PAGE_BYTES = 128 * 1024;
/** Places in logs that are read in one statement. */
const PLACES = 100;
/** Looks, one a second, for which the first events of a log are kept: whoever comes later reads them. */
const TAIL_LOOKS = 2;
/** Bytes of recent events kept for threads whose run is under way here. */
const TAIL_BYTES = 128 * 1024;
const TAILS_BYTES = 64 * 1024 * 1024;

export class Follower {
  readonly key: LogKey;
  readonly #feed: Feed;
  readonly #reader: Reader;
  seq: number;
  /** Reading the log: what is published meanwhile is found there. */
  #reading = false;
  /** Something was written that this follower has not seen. */
  #behind = false;
  #ready = true;
  closed = false;

  constructor(feed: Feed, key: LogKey, seq: number, reader: Reader) {
    this.#feed = feed;
    this.key = key;
    this.seq = seq;
    this.#reader = reader;
  }

  /** Events that were just committed in this process. */
  offer(events: readonly LoggedEvent[]): void {
    if (this.closed) return;
    if (this.#reading || !this.#ready) {
      this.#behind = true;
      return;
    }
    const from = events.findIndex((event) => event.seq > this.seq);
    if (from < 0) return;
    if ((events[from] as LoggedEvent).seq !== this.seq + 1) this.catchUp();
    else this.#deliver(from === 0 ? events : events.slice(from));
  }

  /** The reader takes events again. */
  resume(): void {
    if (this.#ready || this.closed) return;
    this.#ready = true;
    if (this.#behind) this.catchUp();
  }

  /** Reads the log after the cursor until there is nothing more. */
  catchUp(): void {
    if (this.closed) return;
    this.#behind = true;
    if (this.#reading || !this.#ready) return;
    this.#reading = true;
    this.#read().then(
      () => {
        this.#reading = false;
        if (this.#behind && this.#ready && !this.closed) this.catchUp();
      },
      () => {
        // The database is away: the slow poll tries again, and the reader keeps its place.
        this.#reading = false;
      },
    );
  }

  /** Takes rows somebody else read for this follower's cursor. */
  take(events: readonly LoggedEvent[]): void {
    if (this.closed) return;
    if (this.#reading || !this.#ready) {
      this.#behind = true;
      return;
    }
    const from = events.findIndex((event) => event.seq > this.seq);
    if (from >= 0) this.#deliver(from === 0 ? events : events.slice(from));
    if (isFull(events)) this.catchUp();
  }

  get waiting(): boolean {
    return !this.closed && !this.#reading && this.#ready;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#feed.remove(this);
  }

  gone(): void {
    if (this.closed) return;
    this.close();
    this.#reader.end("deleted");
  }

  async #read(): Promise<void> {
    while (this.#behind && this.#ready && !this.closed) {
      this.#behind = false;
      const events = await this.#feed.read(this.key, this.seq);
      if (this.closed) return;
      if (events.length > 0) this.#deliver(events);
      if (isFull(events)) this.#behind = true;
    }
  }

  #deliver(events: readonly LoggedEvent[]): void {
    this.seq = (events[events.length - 1] as LoggedEvent).seq;
    if (!this.#reader.deliver(events)) this.#ready = false;
  }
}

/** Where followers of one log stand together: they share one read. */
type Place = LogKey & { seq: number; followers: Follower[] };

type Tail = { first: number; events: LoggedEvent[]; bytes: number; looks: number };

export class Feed {
  readonly #database: Database;
  readonly #wakes: Wakes;
  readonly #logs = new Map<string, Set<Follower>>();
  readonly #tails = new Map<string, Tail>();
  #tailBytes = 0;
  #dirty = new Set<string>();
  #polling = false;
  #sinceLook = 0;

  constructor(database: Database, wakes: Wakes) {
    this.#database = database;
    this.#wakes = wakes;
    wakes.on("events", (keys) => this.#woken(keys));
  }

  /** Follows a log after `seq`; the first events come before this returns when they are at hand. */
  follow(key: LogKey, seq: number, reader: Reader): Follower {
    const follower = new Follower(this, key, seq, reader);
    const name = nameOf(key);
    let set = this.#logs.get(name);
    if (set === undefined) {
      set = new Set();
      this.#logs.set(name, set);
    }
    set.add(follower);
    const tail = this.#tails.get(name);
    if (tail !== undefined && seq + 1 >= tail.first) {
      if (tail.events.length > 0) follower.offer(tail.events);
    } else follower.catchUp();
    return follower;
  }

  /** Hands committed events to this process's followers and tells the others. */
  publish(key: LogKey, events: readonly LoggedEvent[]): void {
    const name = nameOf(key);
    this.#extendTail(name, events);
    const followers = this.#logs.get(name);
    if (followers !== undefined) for (const follower of followers) follower.offer(events);
    this.#wakes.tell("events", name);
  }

  /** Something was written whose numbers this process does not know: followers read the log. */
  touch(key: LogKey): void {
    const name = nameOf(key);
    this.dropTail(key);
    for (const follower of this.#logs.get(name) ?? []) follower.catchUp();
    this.#wakes.tell("events", name);
  }

  /** The thread was deleted in this process. */
  deleted(key: LogKey): void {
    const name = nameOf(key);
    this.dropTail(key);
    for (const follower of [...(this.#logs.get(name) ?? [])]) follower.gone();
    this.#wakes.tell("events", name);
  }

  /**
   * Keeps the events of a log that starts here in memory for a moment, while its run is under way, so that a
   * reader who comes at once needs no read. A write by another process ends it: its number breaks the row.
   */
  keepTail(key: LogKey, events: readonly LoggedEvent[]): void {
    if (this.#tailBytes > TAILS_BYTES) return;
    const name = nameOf(key);
    this.#tails.set(name, { first: events[0]?.seq ?? 1, events: [], bytes: 0, looks: 0 });
    this.#extendTail(name, events);
  }

  /** Whether the log's run is known to be under way in this process: its events are kept. */
  hasTail(key: LogKey): boolean {
    return this.#tails.has(nameOf(key));
  }

  dropTail(key: LogKey): void {
    this.#drop(nameOf(key));
  }

  #drop(name: string): void {
    const tail = this.#tails.get(name);
    if (tail === undefined) return;
    this.#tails.delete(name);
    this.#tailBytes -= tail.bytes;
  }

  /** Once a second: forgets old tails, and repairs lost wake-ups. Looks at every log when other processes write, else now and then. */
  async tick(): Promise<void> {
    for (const [name, tail] of this.#tails) if (++tail.looks > TAIL_LOOKS) this.#drop(name);
    this.#sinceLook++;
    if (this.#polling || this.#logs.size === 0) return;
    if (!this.#wakes.othersAlive && this.#sinceLook < 5) return;
    this.#sinceLook = 0;
    this.#polling = true;
    try {
      const followers = [...this.#logs.values()].flatMap((set) => [...set]).filter((follower) => follower.waiting);
      for (let i = 0; i < followers.length; i += 1000) {
        const part = followers.slice(i, i + 1000);
        const behind = await logsBehind(
          this.#database,
          part.map((f) => ({ ...f.key, seq: f.seq })),
        );
        for (const { index, lastSeq } of behind) {
          if (lastSeq === null) part[index]?.gone();
          else part[index]?.catchUp();
        }
      }
    } catch {
      // The database is away; the next second tries again.
    } finally {
      this.#polling = false;
    }
  }

  read(key: LogKey, seq: number): Promise<LoggedEvent[]> {
    return eventsAfter(this.#database, key, seq, PAGE, PAGE_BYTES);
  }

  remove(follower: Follower): void {
    const name = nameOf(follower.key);
    const set = this.#logs.get(name);
    set?.delete(follower);
    if (set?.size === 0) this.#logs.delete(name);
  }

  /** Logs and followers open now. */
  get size(): { logs: number; followers: number } {
    let followers = 0;
    for (const set of this.#logs.values()) followers += set.size;
    return { logs: this.#logs.size, followers };
  }

  #extendTail(name: string, events: readonly LoggedEvent[]): void {
    const tail = this.#tails.get(name);
    if (tail === undefined) return;
    for (const event of events) {
      const next = tail.first + tail.events.length;
      if (event.seq !== next) {
        this.#drop(name);
        return;
      }
      tail.events.push(event);
      tail.bytes += event.body.length;
      this.#tailBytes += event.body.length;
    }
    if (tail.bytes > TAIL_BYTES) this.#drop(name);
  }

  /** Another process wrote: all followers of the named logs are read for in one statement. */
  #woken(keys: readonly string[]): void {
    const first = this.#dirty.size === 0;
    if (keys.includes("*")) for (const name of this.#logs.keys()) this.#dirty.add(name);
    else {
      for (const name of keys) {
        if (this.#logs.has(name)) this.#dirty.add(name);
        this.#drop(name);
      }
    }
    if (first && this.#dirty.size > 0) setImmediate(() => this.#readDirty());
  }

  async #readDirty(): Promise<void> {
    const places = new Map<string, Place>();
    for (const name of this.#dirty) {
      for (const follower of this.#logs.get(name) ?? []) {
        const { key, seq } = follower;
        const place = places.get(`${name} ${seq}`);
        if (!follower.waiting)
          follower.catchUp(); // notes that there is more to read
        else if (place === undefined) places.set(`${name} ${seq}`, { ...key, seq, followers: [follower] });
        else place.followers.push(follower);
      }
    }
    this.#dirty = new Set();
    const all = [...places.values()];
    try {
      for (let i = 0; i < all.length; i += PLACES) {
        const part = all.slice(i, i + PLACES);
        const lists = await eventsOfMany(this.#database, part, PAGE, PAGE_BYTES);
        for (const [j, { followers }] of part.entries()) {
          for (const follower of followers) follower.take(lists[j] ?? []);
        }
      }
    } catch {
      // The slow poll repairs it.
    }
  }
}

/** A read was cut off by its bounds: there may be more. */
function isFull(events: readonly LoggedEvent[]): boolean {
  if (events.length >= PAGE) return true;
  let bytes = 0;
  for (const { body } of events) bytes += Buffer.byteLength(body);
  return bytes >= PAGE_BYTES;
}

const nameOf = (key: LogKey): string => `${key.organization}/${key.thread}`;
