/**
 * Wake-ups between processes: PostgreSQL's NOTIFY, coalesced, sent outside of transactions that write.
 *
 * A wake-up carries no truth: whoever is woken reads the database, and every listener also looks by
 * itself now and then, so a lost wake-up costs a moment and nothing else.
 */
import pg from "pg";
import { connectionConfig } from "./database.ts";

const CHANNEL = "callboard";
/** PostgreSQL refuses payloads of 8,000 bytes and more. */
const MAX_PAYLOAD = 7900;

export type WakeTopics = {
  /** Threads whose log grew: `organization/thread` uuids; `*` for too many to name. */
  events: string;
  /** There is a queued run to claim. */
  queue: string;
  /** A run was sent a signal: its uuid. */
  signal: string;
  /** A message joined a run: `run/number`, the run's uuid and how many have joined it. */
  steer: string;
  /** A job was queued, ended or is gone: its uuid. */
  job: string;
  /** A job's handler said something: the job's uuid. */
  jobStatus: string;
  /** An organization's access changed: its uuid. */
  access: string;
  /** A permission of an organization was asked for or decided: the organization's uuid. */
  permission: string;
};
export type WakeTopic = keyof WakeTopics;
type Listener = (keys: readonly string[]) => void;

export class Wakes {
  readonly #connectionString: string;
  readonly #onError: (error: Error) => void;
  readonly #sender: string;
  readonly #listeners = new Map<WakeTopic, Set<Listener>>();
  #pending = new Map<WakeTopic, Set<string>>();
  #scheduled = false;
  #sending: Promise<void> | undefined;
  #client: pg.Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  /** Other processes exist: without them nobody listens and nothing is sent. */
  othersAlive = true;

  constructor(connectionString: string, sender: string, onError: (error: Error) => void) {
    this.#connectionString = connectionString;
    this.#sender = sender;
    this.#onError = onError;
  }

  async start(): Promise<void> {
    await this.#connect();
  }

  on(topic: WakeTopic, listener: Listener): () => void {
    let set = this.#listeners.get(topic);
    if (set === undefined) {
      set = new Set();
      this.#listeners.set(topic, set);
    }
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Wakes this process's listeners at once and the other processes' within a few milliseconds. */
  send(topic: WakeTopic, key: string): void {
    for (const listener of this.#listeners.get(topic) ?? []) listener([key]);
    this.tell(topic, key);
  }

  /** Wakes only the other processes: for what this process knows already. */
  tell(topic: WakeTopic, key: string): void {
    if (!this.othersAlive) return;
    let keys = this.#pending.get(topic);
    if (keys === undefined) {
      keys = new Set();
      this.#pending.set(topic, keys);
    }
    keys.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#flush();
    while (this.#sending !== undefined) await this.#sending;
    await this.#client?.end().catch(() => undefined);
  }

  /** One statement at a time: what is told meanwhile goes with the next one. */
  #flush(): void {
    this.#scheduled = false;
    if (this.#sending !== undefined || this.#pending.size === 0) return;
    const pending = this.#pending;
    this.#pending = new Map();
    const client = this.#client;
    if (client === undefined) return;
    const payloads = [...pending].map(([topic, keys]) => {
      const head = `${this.#sender}:${topic}:`;
      const all = [...keys].join(",");
      return head + (head.length + all.length > MAX_PAYLOAD ? "*" : all);
    });
    const text = "select pg_notify($1, payload) from unnest($2::text[]) payload";
    this.#sending = client.query({ name: "wake.send", text, values: [CHANNEL, payloads] }).then(
      () => this.#sent(),
      (error) => {
        this.#onError(error);
        this.#sent();
      },
    );
  }

  #sent(): void {
    this.#sending = undefined;
    this.#flush();
  }

  #receive(payload: string): void {
    const [sender, topic, keys] = payload.split(":", 3) as [string, WakeTopic, string];
    if (sender === this.#sender) return;
    const list = (keys ?? "").split(",");
    for (const listener of this.#listeners.get(topic) ?? []) listener(list);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(connectionConfig(this.#connectionString));
    const lost = (error: Error) => {
      if (this.#closed || this.#client !== client) return;
      this.#client = undefined;
      this.#onError(error);
      client.end().catch(() => undefined);
      this.#again();
    };
    client.on("error", lost);
    client.on("end", () => lost(new Error("the listening connection ended")));
    client.on("notification", (message) => this.#receive(message.payload ?? ""));
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
    this.#client = client;
    if (this.#closed) await client.end();
  }

  #again(): void {
    this.#retry = setTimeout(() => {
      this.#connect()
        // What was sent while the connection was gone is lost: let everybody look.
        .then(() => {
          for (const set of this.#listeners.values()) for (const listener of set) listener(["*"]);
        })
        .catch((error) => {
          this.#onError(error);
          if (!this.#closed) this.#again();
        });
    }, 250);
  }
}
