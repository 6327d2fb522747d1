/**
 * From a secret to a caller: a token's, or a session's.
 *
 *   header or cookie ── shape and checksum ── cache, at most a second old ── one indexed read ── caller
 *
 * A caller is remembered under the hash of its secret and forgotten at once when its organization's
 * access changes (`epoch.ts`). Secrets themselves are not kept.
 */
import { CallboardError, type OrganizationId, toUuid } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { Caller } from "./caller.ts";
import {
  type CredentialRow,
  findCredential,
  findSession,
  findToken,
  RefusedToken,
  toCaller,
  unauthenticated,
} from "./credentials.ts";
import { type AccessWakes, EpochCache, onAccessChange } from "./epoch.ts";
import { LastUsed } from "./last-used.ts";
import { Lru } from "./lru.ts";
import { isSecret, secretHash } from "./secret.ts";

const MAX_AGE_MS = 1000;
const CAPACITY = 10_000;

const lockOrganization = statement(
  "access.lock-organization",
  "select access_epoch from organizations where id = $1 for no key update",
);

const secretOf = (header: string | undefined): string | undefined => /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];

type Find = (sql: Sql, hash: string) => Promise<CredentialRow | undefined>;

export type AuthenticatorOptions = {
  sql: Sql;
  wakes: Pick<AccessWakes, "on">;
  /** Milliseconds since 1970. */
  now?: () => number;
};

export class Authenticator {
  readonly #sql: Sql;
  readonly #now: () => number;
  readonly #lastUsed: LastUsed;
  readonly #known = new Lru<string, { caller: Caller; readAtMs: number }>(CAPACITY);
  /** Hashes of secrets that were good once. Says nothing of now: each use is looked at like any other. */
  readonly #good = new Lru<string, true>(CAPACITY);
  readonly #reading = new Map<string, Promise<Caller>>();
  readonly #byToken: EpochCache<Caller>;
  readonly #unsubscribe: () => void;
  #generation = 0;

  constructor(options: AuthenticatorOptions) {
    this.#sql = options.sql;
    this.#now = options.now ?? Date.now;
    this.#lastUsed = new LastUsed(options.sql);
    this.#byToken = new EpochCache({ ...options, capacity: CAPACITY, maxAgeMs: MAX_AGE_MS });
    this.#unsubscribe = onAccessChange(options.wakes, (organizationId) => this.#drop(organizationId));
  }

  /**
   * The caller of an `Authorization` header: `Bearer` and a token's secret.
   *
   * @throws unauthenticated for none, garbage, an unknown, expired or revoked token, and for a person
   *   who is suspended or no member any more
   */
  async authenticate(authorizationHeader: string | undefined): Promise<Caller> {
    const secret = secretOf(authorizationHeader);
    if (secret === undefined) throw unauthenticated("expected the header Authorization: Bearer and a token");
    if (!isSecret(secret, "personal", "service")) {
      throw unauthenticated("the token is not one of this kind of server: it looks mistyped");
    }
    return this.#callerOf(secret, findToken);
  }

  /**
   * The caller of a session's secret.
   *
   * @throws unauthenticated for garbage, an unknown, ended or expired session, and for a person who is suspended or
   *   no member any more
   */
  async authenticateSession(secret: string): Promise<Caller> {
    if (!isSecret(secret, "session")) throw unauthenticated("the session is not known");
    return this.#callerOf(secret, findSession);
  }

  /** Whether the token, or else the session, was good when it was last looked up: nobody is guessing it. */
  remembers(authorizationHeader: string | undefined, session: string | undefined): boolean {
    const secret = authorizationHeader === undefined ? session : secretOf(authorizationHeader);
    return secret !== undefined && this.#good.get(secretHash(secret)) !== undefined;
  }

  async #callerOf(secret: string, find: Find): Promise<Caller> {
    const hash = secretHash(secret);
    const known = this.#known.get(hash);
    const nowMs = this.#now();
    const isFresh = known !== undefined && nowMs - known.readAtMs < MAX_AGE_MS;
    const caller = isFresh ? known.caller : await this.#shared(hash, nowMs, find);
    this.#refuseExpired(caller);
    this.#lastUsed.note({ organizationId: caller.organizationId, tokenId: caller.tokenId, atMs: nowMs });
    return caller;
  }

  /**
   * The same caller read anew: rights, role, groups and epoch of this moment.
   *
   * @param sql a transaction, to see what it sees
   * @throws unauthenticated when the token, its secret, the session or the user's membership has ended
   */
  async refresh(caller: Caller, sql: Sql = this.#sql): Promise<Caller> {
    const { organizationId, tokenId, secretVersion } = caller;
    return this.#refuseExpired(toCaller(await findCredential(sql, organizationId, tokenId), { secretVersion }));
  }

  /**
   * The caller whose token or session work was begun with, as that caller stands now: for work that goes on without
   * a request. A session that was left does not end it; one that was taken away does.
   *
   * @param fresh read anew; otherwise at most a second old, and dropped at once when access changes
   * @throws unauthenticated when the token or the user's membership has ended, or the session was revoked
   */
  async callerOf(begun: Pick<Caller, "organizationId" | "tokenId">, fresh: boolean): Promise<Caller> {
    const read = async () => {
      const value = toCaller(await findCredential(this.#sql, begun.organizationId, begun.tokenId), { forWork: true });
      return { epoch: value.epoch, value };
    };
    const { value } = fresh ? await read() : await this.#byToken.get(begun.organizationId, begun.tokenId, read);
    return this.#refuseExpired(value);
  }

  /**
   * The caller as it stands, with its organization's access held still until the transaction ends.
   * Every act that manages something begins with this, so it cannot use rights that ended meanwhile.
   *
   * @throws unauthenticated
   */
  async hold(caller: Caller, sql: Sql): Promise<Caller> {
    const row = await sql.row<{ access_epoch: number }>(lockOrganization, [toUuid(caller.organizationId)]);
    return row?.access_epoch === caller.epoch ? this.#refuseExpired(caller) : this.refresh(caller, sql);
  }

  /** Whether the caller's token and membership still hold: a fresh read, for streams that stay open. */
  async stillValid(caller: Caller): Promise<boolean> {
    try {
      await this.refresh(caller);
      return true;
    } catch (error) {
      if (error instanceof CallboardError && error.code === "unauthenticated") return false;
      throw error;
    }
  }

  /** Writes the times of use that are still held. */
  flush(): Promise<void> {
    return this.#lastUsed.flush();
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#byToken.close();
    await this.flush();
  }

  #refuseExpired(caller: Caller): Caller {
    if (caller.expiresAtMs === null || caller.expiresAtMs > this.#now()) return caller;
    if (caller.session !== undefined) throw unauthenticated("the session has expired");
    throw new RefusedToken({ ...caller, reason: "expired" }, "the token has expired");
  }

  /** Requests that arrive together with one token share one read. */
  #shared(hash: string, nowMs: number, find: Find): Promise<Caller> {
    const under = this.#reading.get(hash);
    if (under !== undefined) return under;
    const reading = this.#read(hash, nowMs, find).finally(() => {
      if (this.#reading.get(hash) === reading) this.#reading.delete(hash);
    });
    this.#reading.set(hash, reading);
    return reading;
  }

  async #read(hash: string, readAtMs: number, find: Find): Promise<Caller> {
    const generation = this.#generation;
    const row = await find(this.#sql, hash);
    this.#good.delete(hash);
    const caller = toCaller(row);
    this.#good.set(hash, true);
    // A wake-up while the read was under way may have meant exactly this caller.
    if (generation === this.#generation) this.#known.set(hash, { caller, readAtMs });
    return caller;
  }

  #drop(organizationId: OrganizationId | undefined): void {
    this.#generation++;
    this.#reading.clear();
    this.#known.deleteWhere(({ caller }) => organizationId === undefined || caller.organizationId === organizationId);
  }
}
