/** Remembers when tokens and sessions were used and writes it now and then, away from requests. */
import { type OrganizationId, toUuid } from "@callboard/protocol";
import { type Sql, type Statement, statement } from "../storage/index.ts";
import type { CredentialId } from "./caller.ts";
import { Lru } from "./lru.ts";

/** A use is written at most this often: what depends on it, such as a session's idle time, is that exact. */
const EVERY_MS = 60_000;
/** How long uses are gathered before one statement writes them. */
const GATHER_MS = 2_000;
const KNOWN = 20_000;

const write = (name: string, table: string) =>
  statement(
    name,
    `update ${table} t set last_used_at = used.at
       from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as used (organization_id, id, at)
      where t.organization_id = used.organization_id and t.id = used.id
        and (t.last_used_at is null or t.last_used_at < used.at)`,
  );
const writeTokens = write("access.last-used", "tokens");
const writeSessions = write("access.session-last-used", "sessions");

type Use = { organizationId: OrganizationId; tokenId: CredentialId; atMs: number };

export class LastUsed {
  readonly #sql: Sql;
  readonly #written = new Lru<CredentialId, number>(KNOWN);
  #pending = new Map<CredentialId, Use>();
  #timer: NodeJS.Timeout | undefined;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Notes a use. Costs a map lookup when the token's last minute is written already. */
  note(use: Use): void {
    const written = this.#written.get(use.tokenId);
    if (written !== undefined && use.atMs - written < EVERY_MS) return;
    this.#written.set(use.tokenId, use.atMs);
    this.#pending.set(use.tokenId, use);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.flush(), GATHER_MS);
    this.#timer.unref();
  }

  /** Writes what was noted. Never throws: a lost time of use harms nobody. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.size === 0) return;
    // Sorted, so that two processes never wait for each other's rows in a circle.
    const uses = [...this.#pending.values()].sort((a, b) => (a.tokenId < b.tokenId ? -1 : 1));
    this.#pending = new Map();
    await this.#write(
      writeTokens,
      uses.filter(({ tokenId }) => tokenId.startsWith("token_")),
    );
    await this.#write(
      writeSessions,
      uses.filter(({ tokenId }) => tokenId.startsWith("session_")),
    );
  }

  async #write(how: Statement, uses: readonly Use[]): Promise<void> {
    if (uses.length === 0) return;
    const columns = [
      uses.map((use) => toUuid(use.organizationId)),
      uses.map((use) => toUuid(use.tokenId)),
      uses.map((use) => new Date(use.atMs).toISOString()),
    ];
    await this.#sql.run(how, columns).catch(() => undefined);
  }
}
