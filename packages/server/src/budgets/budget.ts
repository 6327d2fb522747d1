/** A budget and whom it counts: pure. */
import { type Budget, type BudgetSubject, fromUuid, type UserId } from "@callboard/protocol";

/** What a model call uses: micro-dollars, and input and output tokens together. */
export type Amount = { readonly micros: number; readonly tokens: number };
export const NOTHING: Amount = { micros: 0, tokens: 0 };

/** What a model call may use, reckoned before it is made. */
export type Estimate = {
  readonly atMost: Amount;
  /** Its input alone: what counts when nobody is left to say what came of it. */
  readonly input: Amount;
};

/** A run as far as budgets go; ids are the database's. */
export type BudgetRun = {
  readonly organization: string;
  readonly run: string;
  readonly thread: string;
  readonly agent: string | null;
  /** The person it works for; null for a bare service. */
  readonly user: string | null;
  readonly token: string;
};

/** A row of `budgets`. */
export type BudgetRow = {
  id: string;
  subject_kind: BudgetSubject["kind"];
  subject_id: string | null;
  period: Budget["period"];
  limit_micros: number | null;
  limit_tokens: number | null;
  action: Budget["action"];
  created_at: string;
};

/** Whose counter a run's model calls go to; undefined when the budget does not count them. */
export function counterOf(budget: Pick<BudgetRow, "subject_kind" | "subject_id">, run: BudgetRun): string | undefined {
  const only = (id: string | null) => (id !== null && budget.subject_id === id ? id : undefined);
  switch (budget.subject_kind) {
    case "organization":
      return run.organization;
    case "each_user":
      return run.user ?? undefined;
    case "agent":
      return only(run.agent);
    case "user":
      return only(run.user);
    case "token":
      return only(run.token);
  }
}

/** First day of the period, in UTC: `2026-01-31`. */
export function periodStart(period: Budget["period"], at: Date): string {
  const day = at.toISOString().slice(0, 10);
  return period === "day" ? day : `${day.slice(0, 7)}-01`;
}

export function toSubject({ subject_kind, subject_id }: BudgetRow): BudgetSubject {
  const id = subject_id as string; // the kinds with one have one
  switch (subject_kind) {
    case "organization":
    case "each_user":
      return { kind: subject_kind };
    case "agent":
      return { kind: "agent", id: fromUuid("agent", id) };
    case "user":
      return { kind: "user", id: fromUuid("user", id) as UserId };
    case "token":
      return { kind: "token", id: fromUuid("token", id) };
  }
}

/** What a run is told that a budget holds back. */
export function exceeded(budget: BudgetRow, asked: Amount): string {
  const whose =
    budget.subject_kind === "each_user" ? "the person's" : `the ${budget.subject_kind.replace("token", "service")}'s`;
  const limits = [
    budget.limit_micros === null ? [] : [`${asked.micros} of its ${budget.limit_micros} micro-dollars`],
    budget.limit_tokens === null ? [] : [`${asked.tokens} of its ${budget.limit_tokens} tokens`],
  ].flat();
  return `${whose} budget of the ${budget.period} has no room for a model call of up to ${limits.join(" and ")}`;
}
