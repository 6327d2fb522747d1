/**
 * Reservations: a model call is paid for before it is made.
 *
 *   hold (what it may cost at most) ──▶ model call ──▶ settle (what it did cost)
 *
 * B1  used + reserved never goes above a limit by a new reservation, also between processes: the counter's row is
 *     locked while it is looked at.
 * B2  A reservation ends once. One that a crash left behind is settled with what its step says it cost; when the step
 *     was never written, with what the call's input was reckoned at. A process that lives on after it was taken for
 *     lost settles its own and not its successor's.
 * B3  An organization without budgets pays nothing: that there are none is remembered for its access epoch.
 */
import { randomUUID } from "node:crypto";
import { type OrganizationId, toUuid } from "@callboard/protocol";
import { type AccessWakes, EpochCache } from "../access/index.ts";
import { findRunByUuid, stepUsage } from "../runs/index.ts";
import { type Database, isConflictError, type Sql } from "../storage/index.ts";
import {
  type Amount,
  type BudgetRow,
  type BudgetRun,
  counterOf,
  type Estimate,
  exceeded,
  periodStart,
} from "./budget.ts";
import {
  type Counter,
  type HeldStep,
  oldReservations,
  openSteps,
  permitBeyond,
  readBudgets,
  reserveFrom,
  settleStep,
} from "./store.ts";

/** A budget has no room for a model call. */
export class BudgetExceeded extends Error {
  readonly budget: BudgetRow;
  /** First day of the period that is used up. */
  readonly start: string;

  constructor(counter: Counter, asked: Amount) {
    super(exceeded(counter.budget, asked));
    this.name = "BudgetExceeded";
    this.budget = counter.budget;
    this.start = counter.start;
  }
}

/** Room that is kept for one model call. */
export type Hold = {
  /** Which of the estimates it was kept for. */
  readonly index: number;
  /** Call it once the cost is known; nothing for a call that failed. Never rejects. */
  settle(used: Amount): Promise<void>;
};

const TRIES = 5;

export class BudgetLedger {
  readonly #database: Database;
  readonly #budgets: EpochCache<BudgetRow[]>;
  readonly #now: () => Date;
  readonly #onError: (error: unknown) => void;

  constructor(options: {
    database: Database;
    wakes: Pick<AccessWakes, "on">;
    now: () => Date;
    onError: (error: unknown) => void;
  }) {
    this.#database = options.database;
    this.#budgets = new EpochCache({ wakes: options.wakes, capacity: 10_000, maxAgeMs: 1000 });
    this.#now = options.now;
    this.#onError = options.onError;
  }

  /**
   * Keeps room for a model call in every budget that counts it, or in none.
   *
   * @param estimates of the call as it would best be made, and of lesser ways to make it, for which room is looked for
   *   in their order; asked only when a budget counts it
   * @returns undefined when no budget does
   * @throws BudgetExceeded
   */
  async hold(
    organizationId: OrganizationId,
    run: BudgetRun,
    step: number,
    estimates: () => readonly [Estimate, ...Estimate[]],
  ): Promise<Hold | undefined> {
    const read = () => readBudgets(this.#database, toUuid(organizationId));
    const { value: budgets } = await this.#budgets.get(organizationId, "budgets", read);
    if (budgets.length === 0) return undefined;
    const counters = this.#countersOf(budgets, run);
    if (counters.length === 0) return undefined;
    const held = { step, holder: randomUUID() };
    const settle: Hold["settle"] = (used) =>
      again(() => settleStep(this.#database, run, held, used)).catch(this.#onError);
    let refusal: unknown;
    for (const [index, estimate] of estimates().entries()) {
      try {
        await this.#keep(run, held, counters, estimate);
        return { index, settle };
      } catch (error) {
        if (!(error instanceof BudgetExceeded)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  #keep(run: BudgetRun, held: HeldStep, counters: readonly Counter[], estimate: Estimate): Promise<void> {
    return again(() =>
      this.#database.transaction(async (tx) => {
        for (const counter of counters) {
          if (!(await reserveFrom(tx, run, held, counter, estimate)))
            throw new BudgetExceeded(counter, estimate.atMost);
        }
      }),
    );
  }

  /** Somebody allowed the run, or all runs of its thread, to go beyond a budget for the rest of its period. */
  permit(run: BudgetRun, { budget, start }: BudgetExceeded, scope: "run" | "thread"): Promise<void> {
    return permitBeyond(this.#database, run.organization, budget.id, start, run[scope]);
  }

  /** Settles what an earlier process left of a run that is taken up here (B2). */
  async recover(organizationId: OrganizationId, run: Pick<BudgetRun, "organization" | "run">): Promise<void> {
    const read = () => readBudgets(this.#database, toUuid(organizationId));
    const { value: budgets } = await this.#budgets.get(organizationId, "budgets", read);
    if (budgets.length === 0) return;
    for (const step of await openSteps(this.#database, run.organization, run.run)) {
      await settleFromStep(this.#database, { ...run, step });
    }
  }

  close(): void {
    this.#budgets.close();
  }

  /** In the order of their ids, so that two runs never wait for each other's counters in a circle. */
  #countersOf(budgets: readonly BudgetRow[], run: BudgetRun): Counter[] {
    const at = this.#now();
    return budgets.flatMap((budget) => {
      const subject = counterOf(budget, run);
      return subject === undefined ? [] : [{ budget, subject, start: periodStart(budget.period, at) }];
    });
  }
}

async function settleFromStep(sql: Sql, open: { organization: string; run: string; step: number }): Promise<void> {
  const usage = await stepUsage(sql, open.organization, open.run, open.step);
  const used =
    usage === undefined ? null : { micros: usage.cost_micros, tokens: usage.input_tokens + usage.output_tokens };
  await settleStep(sql, open, { step: open.step, holder: null }, used);
}

/** Settles what is left of runs that nobody works on. @returns how many */
export async function sweepReservations(sql: Sql): Promise<number> {
  let settled = 0;
  for (const open of await oldReservations(sql)) {
    const row = await findRunByUuid(sql, open.organization, open.run);
    if (row?.state === "running") continue; // its own process settles, or the one that takes it over
    await settleFromStep(sql, open);
    settled++;
  }
  return settled;
}

async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isConflictError(error) || attempt === TRIES) throw error;
    }
  }
}
