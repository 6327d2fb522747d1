/**
 * The door to PostgreSQL: a pool, named statements, transactions.
 *
 * Losing the database is a pause, never an exit: errors of the pool and of checked-out clients are
 * handled here, and a request that meets one is refused with `unavailable`.
 */
import { CallboardError } from "@callboard/protocol";
import pg from "pg";

/** One SQL text with the name under which each connection prepares it once. */
export type Statement = { readonly name: string; readonly text: string };

const names = new Set<string>();

/** A prepared statement; `name` is unique in the server, like `threads.get`. */
export function statement(name: string, text: string): Statement {
  if (names.has(name)) throw new Error(`statement ${name} is defined twice`);
  names.add(name);
  return { name, text };
}

/** What runs statements: the database, or one transaction on it. */
export interface Sql {
  /** The rows of a statement; column names as in SQL. */
  rows<Row>(statement: Statement, values?: readonly unknown[]): Promise<Row[]>;
  /** The first row, or undefined. */
  row<Row>(statement: Statement, values?: readonly unknown[]): Promise<Row | undefined>;
  /** How many rows a statement wrote. */
  run(statement: Statement, values?: readonly unknown[]): Promise<number>;
}

/** A transaction; `after` registers what happens once it has committed, such as waking others. */
export interface Transaction extends Sql {
  after(effect: () => void): void;
  /**
   * Runs `work` in the same transaction as the server itself, which sees every tenant: for the few things that no
   * tenant owns, such as a person who is in several organizations.
   */
  asServer<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
}

/** Whose rows a transaction may see: uuids. */
export type TenantScope = {
  readonly organization: string;
  /** The person it works for; null for nobody. */
  readonly user: string | null;
  /** The service token it works for, where no person is behind it. */
  readonly service: string | null;
};

/** Owns nothing, logs in nowhere; see `protect.ts`. */
export const TENANT_ROLE = "callboard_tenant";

/** One message for the server: `begin`, then who it is for, until the transaction ends. */
function beginTenant({ organization, user, service }: TenantScope): string {
  return `begin; select set_config('role', '${TENANT_ROLE}', true),
    set_config('callboard.organization', '${uuid(organization)}', true),
    set_config('callboard.user', '${user === null ? "" : uuid(user)}', true),
    set_config('callboard.service', '${service === null ? "" : uuid(service)}', true)`;
}

/** It stands in the text of a statement, so it is what it says. */
function uuid(text: string): string {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) throw new TypeError("a tenant scope takes uuids");
  return text;
}

// Numbers beyond 2^53 do not occur: counters, sizes and micro-dollars.
const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, Number);
/** `2026-01-31 09:30:00.12+00` → RFC 3339 with milliseconds. Connections run in UTC. */
types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => new Date(text).toISOString());

/** SQLSTATE classes and driver errors that mean: the database is away, or gave up on us; nothing is known to be wrong. */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  if (typeof code === "string") {
    if (/^08|^57P0[1-5]|^25P03|^53/.test(code)) return true;
    if (
      /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT)$/.test(
        code,
      )
    )
      return true;
    if (/^[0-9A-Z]{5}$/.test(code)) return false;
  }
  return /Connection terminated|connection error|not queryable|Client was closed|timeout exceeded when trying to connect/i.test(
    error.message,
  );
}

/** A transaction that lost against another one and may be tried again: deadlock, serialization. */
export function isConflictError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "40P01" || code === "40001";
}

/** SQLSTATE 23505 on the named index or constraint. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const { code, constraint: found } = (error ?? {}) as { code?: unknown; constraint?: unknown };
  return code === "23505" && (constraint === undefined || found === constraint);
}

/** `unavailable` for an error that means that the database is away; any other error as it is. */
export function toRefusal(error: unknown): unknown {
  if (!isConnectionError(error)) return error;
  const message = "the database cannot be reached right now";
  return new CallboardError("unavailable", message, { retry_after_ms: 1000 }, { cause: error });
}

function unavailable(error: unknown): never {
  throw toRefusal(error);
}

class Client implements Sql {
  protected readonly queryable: pg.Pool | pg.PoolClient | pg.Client;
  /**
   * PostgreSQL plans a prepared statement anew whenever it meets it under another role than before: each role
   * has its own name for it.
   */
  protected suffix = "";

  constructor(queryable: pg.Pool | pg.PoolClient | pg.Client) {
    this.queryable = queryable;
  }
  async rows<Row>(statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
    return (await this.#query(statement, values)).rows;
  }
  async row<Row>(statement: Statement, values: readonly unknown[] = []): Promise<Row | undefined> {
    return (await this.rows<Row>(statement, values))[0];
  }
  async run(statement: Statement, values: readonly unknown[] = []): Promise<number> {
    return (await this.#query(statement, values)).rowCount ?? 0;
  }
  #query({ name, text }: Statement, values: readonly unknown[]): Promise<pg.QueryResult> {
    // Without a name it is not kept, so there is nothing to tell apart.
    return this.queryable.query({ name: name === "" ? "" : name + this.suffix, text, values: values as unknown[] });
  }
}

const TENANT_SUFFIX = "@tenant";

class PoolTransaction extends Client implements Transaction {
  readonly effects: Array<() => void> = [];
  readonly #isTenant: boolean;

  constructor(client: pg.PoolClient, isTenant: boolean) {
    super(client);
    this.#isTenant = isTenant;
    if (isTenant) this.suffix = TENANT_SUFFIX;
  }
  after(effect: () => void): void {
    this.effects.push(effect);
  }
  async asServer<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    if (!this.#isTenant) return work(this);
    await this.#become("none");
    // When `work` throws, the transaction is over: there is no role to go back to.
    const result = await work(new Client(this.queryable));
    await this.#become(TENANT_ROLE);
    return result;
  }
  async #become(role: string): Promise<void> {
    await this.queryable.query(`select set_config('role', '${role}', true)`);
  }
}

export type DatabaseOptions = {
  connectionString: string;
  /** Connections of the pool. Default 12. */
  poolSize?: number;
  /** Told about errors of idle connections; they are replaced by themselves. */
  onError?: (error: Error) => void;
};

export class Database implements Sql {
  readonly #pool: pg.Pool;
  readonly #client: Client;
  readonly #options: DatabaseOptions;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#pool = new pg.Pool({
      ...connectionConfig(options.connectionString),
      max: options.poolSize ?? 12,
      connectionTimeoutMillis: 10_000,
      idleTimeoutMillis: 60_000,
    });
    this.#pool.on("error", (error) => this.#options.onError?.(error));
    // A checked-out client that loses its connection emits too; unhandled, it would end the process.
    this.#pool.on("connect", (client) => client.on("error", (error) => this.#options.onError?.(error)));
    this.#client = new Client(this.#pool);
  }

  rows<Row>(statement: Statement, values?: readonly unknown[]): Promise<Row[]> {
    return this.#client.rows<Row>(statement, values).catch(unavailable);
  }
  row<Row>(statement: Statement, values?: readonly unknown[]): Promise<Row | undefined> {
    return this.#client.row<Row>(statement, values).catch(unavailable);
  }
  run(statement: Statement, values?: readonly unknown[]): Promise<number> {
    return this.#client.run(statement, values).catch(unavailable);
  }

  /**
   * Runs `work` in one transaction; its `after` effects run once the commit is known.
   *
   * A deadlock or serialization failure is tried again up to three times, so `work` must not change
   * anything but the database.
   *
   * @throws unavailable when the database is away; nothing or everything was written then
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#transaction("begin", work, false);
  }

  /**
   * The same for one tenant: PostgreSQL shows `work` the rows of that scope and no others, also where a
   * statement forgets to ask for them. It costs no further round trip.
   */
  async tenant<T>(scope: TenantScope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#transaction(beginTenant(scope), work, true);
  }

  async #transaction<T>(begin: string, work: (tx: Transaction) => Promise<T>, isTenant: boolean): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#pool.connect().catch(unavailable);
      const tx = new PoolTransaction(client, isTenant);
      let broken: Error | undefined;
      try {
        await client.query(begin);
        const result = await work(tx);
        await client.query("commit");
        for (const effect of tx.effects) effect();
        return result;
      } catch (error) {
        if (isConnectionError(error)) broken = error as Error;
        else {
          await client.query("rollback").catch((failure) => {
            broken = failure;
          });
        }
        if (isConflictError(error) && attempt < 3) continue;
        return unavailable(error);
      } finally {
        client.release(broken);
      }
    }
  }

  /** Ends all connections, after the queries under way. */
  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** A transaction may do nothing for so long, in milliseconds. */
const STALLED_MS = 5000;

/** The `pg` settings that all connections of the server share. */
export function connectionConfig(connectionString: string): pg.ClientConfig {
  return {
    connectionString,
    types,
    application_name: "callboard",
    keepAlive: true,
    // Every statement is prepared and made for one plan; planning anew for each set of values costs more than it finds.
    // A process that is paused inside a transaction holds locks the others wait for: the database ends it.
    options: `-c timezone=UTC -c plan_cache_mode=force_generic_plan -c jit=off -c idle_in_transaction_session_timeout=${STALLED_MS}`,
  };
}
