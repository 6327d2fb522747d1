/**
 * From a token's secret to a caller.
 *
 *   header ── shape and checksum ── cache, at most a second old ── one indexed read ── caller
 *
 * A caller is remembered under the hash of its secret and forgotten at once when its organization's
 * access changes (`epoch.ts`). Secrets themselves are not kept.
 */
import {
  CallboardError,
  fromUuid,
  type GroupId,
  type OrganizationId,
  type Role,
  type Scope,
  toUuid,
} from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";
import type { Caller } from "./caller.ts";
import { type AccessWakes, EpochCache, onAccessChange } from "./epoch.ts";
import { LastUsed } from "./last-used.ts";
import { Lru } from "./lru.ts";
import { isSecret, secretHash } from "./secret.ts";

const MAX_AGE_MS = 1000;
const CAPACITY = 10_000;

const select = `
  select t.organization_id, t.id, t.kind, t.user_id, t.scopes, t.may_attribute, t.expires_at, t.revoked_at,
         o.access_epoch, o.members_edit_agents, o.raw_runs, m.role, m.suspended, u.email,
         (select json_agg(json_build_object('id', g.id, 'slug', g.slug) order by g.slug)
            from group_members gm join groups g on g.organization_id = gm.organization_id and g.id = gm.group_id
           where gm.organization_id = t.organization_id and gm.user_id = t.user_id) as groups,
         array(select agent_id from token_agents ta
                where ta.organization_id = t.organization_id and ta.token_id = t.id)::text[] as agent_ids
    from tokens t
    join organizations o on o.id = t.organization_id
    left join memberships m on m.organization_id = t.organization_id and m.user_id = t.user_id
    left join users u on u.id = t.user_id`;
// Served by tokens_hash.
const byHash = statement("access.by-hash", `${select} where t.hash = $1`);
const byId = statement("access.by-id", `${select} where t.organization_id = $1 and t.id = $2`);
const lockOrganization = statement(
  "access.lock-organization",
  "select access_epoch from organizations where id = $1 for no key update",
);

type Row = {
  organization_id: string;
  id: string;
  kind: "personal" | "service";
  user_id: string | null;
  scopes: Scope[];
  may_attribute: boolean;
  expires_at: string | null;
  revoked_at: string | null;
  access_epoch: number;
  members_edit_agents: boolean;
  raw_runs: boolean;
  role: Role | null;
  suspended: boolean | null;
  email: string | null;
  groups: Array<{ id: string; slug: string }> | null;
  agent_ids: string[];
};

/** The caller of a token's row. @throws unauthenticated */
function toCaller(row: Row | undefined): Caller {
  if (row === undefined) throw unauthenticated("the token is not known");
  const isService = row.kind === "service";
  const userId = row.user_id === null ? null : fromUuid("user", row.user_id);
  const tokenId = fromUuid("token", row.id);
  const ended = (reason: EndedToken["reason"], message: string) => {
    const organizationId = fromUuid("organization", row.organization_id);
    return new RefusedToken({ organizationId, tokenId, kind: isService ? "service" : "user", userId, reason }, message);
  };
  if (row.revoked_at !== null) throw ended("revoked", "the token was revoked");
  if (!isService && (row.role === null || row.suspended !== false)) {
    throw ended(row.role === null ? "removed" : "suspended", "the token's user is not an active member");
  }
  return {
    organizationId: fromUuid("organization", row.organization_id),
    kind: isService ? "service" : "user",
    tokenId,
    userId,
    email: row.email,
    role: row.role,
    groups: (row.groups ?? []).map(({ id, slug }) => ({ id: fromUuid("group", id) as GroupId, slug })),
    scopes: new Set(row.scopes),
    agentIds: isService ? new Set(row.agent_ids.map((id) => fromUuid("agent", id))) : null,
    mayAttribute: row.may_attribute,
    membersEditAgents: row.members_edit_agents,
    rawRuns: row.raw_runs,
    epoch: row.access_epoch,
    expiresAtMs: row.expires_at === null ? null : Date.parse(row.expires_at),
  };
}

const unauthenticated = (message: string) => new CallboardError("unauthenticated", message);

/** A token that was one and is no more, for the audit log. */
export type EndedToken = Pick<Caller, "organizationId" | "tokenId" | "kind" | "userId"> & {
  readonly reason: "revoked" | "expired" | "suspended" | "removed";
};

/** `unauthenticated` for a token that the server knows. */
export class RefusedToken extends CallboardError {
  readonly token: EndedToken;

  constructor(token: EndedToken, message: string) {
    super("unauthenticated", message);
    this.token = token;
  }
}

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
    const secret = /^Bearer +(\S+) *$/i.exec(authorizationHeader ?? "")?.[1];
    if (secret === undefined) throw unauthenticated("expected the header Authorization: Bearer and a token");
    if (!isSecret(secret)) throw unauthenticated("the token is not one of this kind of server: it looks mistyped");
    const hash = secretHash(secret);
    const known = this.#known.get(hash);
    const nowMs = this.#now();
    const caller =
      known !== undefined && nowMs - known.readAtMs < MAX_AGE_MS ? known.caller : await this.#shared(hash, nowMs);
    this.#refuseExpired(caller);
    this.#lastUsed.note({ organizationId: caller.organizationId, tokenId: caller.tokenId, atMs: nowMs });
    return caller;
  }

  /**
   * The same caller read anew: rights, role, groups and epoch of this moment. The token's id is enough:
   * a job that is run again has nothing else of its caller.
   *
   * @param sql a transaction, to see what it sees
   * @throws unauthenticated when the token or its user's membership has ended
   */
  async refresh(caller: Pick<Caller, "organizationId" | "tokenId">, sql: Sql = this.#sql): Promise<Caller> {
    const row = await sql.row<Row>(byId, [toUuid(caller.organizationId), toUuid(caller.tokenId)]);
    return this.#refuseExpired(toCaller(row));
  }

  /**
   * The caller behind a token, for work that goes on without a request.
   *
   * @param fresh read anew; otherwise at most a second old, and dropped at once when access changes
   * @throws unauthenticated as `refresh` does
   */
  async callerOf(token: Pick<Caller, "organizationId" | "tokenId">, fresh: boolean): Promise<Caller> {
    if (fresh) return this.refresh(token);
    const { value } = await this.#byToken.get(token.organizationId, token.tokenId, async () => {
      const value = await this.refresh(token);
      return { epoch: value.epoch, value };
    });
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
    const { organizationId, tokenId, kind, userId } = caller;
    throw new RefusedToken({ organizationId, tokenId, kind, userId, reason: "expired" }, "the token has expired");
  }

  /** Requests that arrive together with one token share one read. */
  #shared(hash: string, nowMs: number): Promise<Caller> {
    const under = this.#reading.get(hash);
    if (under !== undefined) return under;
    const reading = this.#read(hash, nowMs).finally(() => {
      if (this.#reading.get(hash) === reading) this.#reading.delete(hash);
    });
    this.#reading.set(hash, reading);
    return reading;
  }

  async #read(hash: string, readAtMs: number): Promise<Caller> {
    const generation = this.#generation;
    const row = await this.#sql.row<Row>(byHash, [Buffer.from(hash, "base64")]);
    const caller = toCaller(row);
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
