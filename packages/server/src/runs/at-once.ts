/**
 * Runs at once of an organization: those that are queued or running, in all processes.
 *
 *   start ─┬─ few enough since the last look ──▶ passes at once
 *          └─ else ──▶ counted in the transaction that starts it, one start of the organization after another
 *
 * R1: between two looks a process lets at most a twentieth of the limit pass without counting; all processes
 *     together let at most the limit and that twentieth for each pass. A limit below 20 is exact.
 */
import { CallboardError, type OrganizationId, toUuid } from "@callboard/protocol";
import type { Caller } from "../access/index.ts";
import { type Sql, statement } from "../storage/index.ts";

const SHARE = 1 / 20;
/** A look is taken at most so often, in milliseconds. */
const LOOK_MS = 250;
/** Organizations that are remembered. */
const CAPACITY = 10_000;
/** What a client is told to wait; when a run ends cannot be known. */
const RETRY_MS = 2000;

// Served by runs_open, which holds only runs that have not ended.
const count = statement(
  "runs.at_once",
  "select count(*)::int as n from runs where state in ('queued', 'running') and organization_id = $1",
);
const lock = statement("runs.at_once_lock", "select pg_advisory_xact_lock(hashtextextended($1, 0))");

type Organization = {
  /** What the last look found, and when it was begun. */
  found: number;
  lookedAtMs: number;
  isLooking: boolean;
  /** Starts that passed since the last look began, and between it and the one before: their commits may be later. */
  passed: number;
  passedBefore: number;
};

export type RunsAtOnceOptions = {
  sql: Sql;
  /** Of organizations without a limit of their own; null for none. */
  defaultLimit: number | null;
  onError: (error: unknown) => void;
  onRefusal?: () => void;
  /** Milliseconds since 1970. */
  now?: () => number;
};

export class RunsAtOnce {
  readonly #options: RunsAtOnceOptions;
  readonly #now: () => number;
  readonly #organizations = new Map<OrganizationId, Organization>();

  constructor(options: RunsAtOnceOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Whether a run may start uncounted; if not, `require` decides in the transaction that starts it. */
  admits(caller: Caller): boolean {
    const limit = this.#limitOf(caller);
    if (limit === null) return true;
    const share = Math.floor(limit * SHARE);
    if (share === 0) return false;
    const organization = this.#get(caller.organizationId);
    const passed = organization.passed + organization.passedBefore;
    const isFree = passed < share && organization.found + passed < limit;
    if (isFree) organization.passed++;
    this.#look(caller.organizationId, organization);
    return isFree;
  }

  /** Counts, with every other counted start of the organization held up until this transaction ends. @throws too_many_runs */
  async require(tx: Sql, caller: Caller): Promise<void> {
    const limit = this.#limitOf(caller);
    if (limit === null) return;
    const organization = toUuid(caller.organizationId);
    await tx.row(lock, [`callboard.runs/${organization}`]);
    const found = await tx.row<{ n: number }>(count, [organization]);
    if ((found?.n ?? 0) < limit) return;
    this.#options.onRefusal?.();
    throw new CallboardError("too_many_runs", `the organization has ${found?.n} runs at once and may have ${limit}`, {
      runs_at_once: limit,
      retry_after_ms: RETRY_MS,
    });
  }

  #limitOf({ limits }: Caller): number | null {
    return limits.runsAtOnce ?? this.#options.defaultLimit;
  }

  #get(id: OrganizationId): Organization {
    let organization = this.#organizations.get(id);
    if (organization === undefined) {
      if (this.#organizations.size >= CAPACITY) this.#organizations.clear();
      organization = { found: 0, lookedAtMs: 0, isLooking: false, passed: 0, passedBefore: 0 };
      this.#organizations.set(id, organization);
    }
    return organization;
  }

  #look(id: OrganizationId, organization: Organization): void {
    const now = this.#now();
    if (organization.isLooking || now - organization.lookedAtMs < LOOK_MS) return;
    organization.isLooking = true;
    organization.lookedAtMs = now;
    const passed = organization.passed;
    this.#options.sql
      .row<{ n: number }>(count, [toUuid(id)])
      .then(
        (found) => {
          organization.found = found?.n ?? 0;
          organization.passedBefore = passed;
          organization.passed -= passed;
        },
        (error) => this.#options.onError(error),
      )
      .finally(() => {
        organization.isLooking = false;
      });
  }
}
