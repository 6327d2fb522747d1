/**
 * One connection of its own for group commits: one statement at a time, in order, reconnected when lost.
 *
 * Its planner settings are fixed: the statements of a lane join small batches with tables by their
 * primary keys, and a plan made while those tables were empty must not become a scan later.
 */
import pg from "pg";
import { connectionConfig, isConnectionError, type Statement } from "./database.ts";

const SETTINGS = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

export class Lane {
  readonly #connectionString: string;
  readonly #onError: (error: Error) => void;
  #client: pg.Client | undefined;
  #closed = false;

  constructor(connectionString: string, onError: (error: Error) => void) {
    this.#connectionString = connectionString;
    this.#onError = onError;
  }

  /** Runs one statement. Throws the driver's error; after a connection error the next call connects anew. */
  async rows<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const client = this.#client ?? (await this.#connect());
    try {
      return (await client.query({ name: statement.name, text: statement.text, values: values as unknown[] })).rows;
    } catch (error) {
      if (isConnectionError(error)) this.#drop(client);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#client?.end().catch(() => undefined);
    this.#client = undefined;
  }

  async #connect(): Promise<pg.Client> {
    if (this.#closed) throw new Error("Client was closed");
    const client = new pg.Client(connectionConfig(this.#connectionString));
    client.on("error", (error) => {
      this.#onError(error);
      this.#drop(client);
    });
    await client.connect();
    await client.query(SETTINGS);
    if (this.#closed) {
      await client.end();
      throw new Error("Client was closed");
    }
    this.#client = client;
    return client;
  }

  #drop(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined;
    client.end().catch(() => undefined);
  }
}
