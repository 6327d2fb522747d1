/** SQL of budgets, their counters and reservations. */
import { type Sql, statement, type Transaction } from "../storage/index.ts";
import type { Amount, BudgetRow, BudgetRun, Estimate } from "./budget.ts";

const columns = "b.id, b.subject_kind, b.subject_id, b.period, b.limit_micros, b.limit_tokens, b.action, b.created_at";

const all = statement(
  "budgets.all",
  `select o.access_epoch, ${columns} from organizations o
     left join budgets b on b.organization_id = o.id where o.id = $1 order by b.id`,
);
type EpochRow = { access_epoch: number };
/** All budgets of an organization, with the epoch they are true for. */
export async function readBudgets(sql: Sql, organization: string): Promise<{ epoch: number; value: BudgetRow[] }> {
  const rows = await sql.rows<EpochRow & { [K in keyof BudgetRow]: BudgetRow[K] | null }>(all, [organization]);
  const value = rows.filter((row) => row.id !== null) as unknown as BudgetRow[];
  return { epoch: rows[0]?.access_epoch ?? 0, value };
}

// Served by the primary key.
const page = statement(
  "budgets.list",
  `select ${columns}, c.used_micros, c.used_tokens, c.reserved_micros, c.reserved_tokens
     from budgets b left join budget_counters c
       on c.organization_id = b.organization_id and c.budget_id = b.id and b.subject_kind <> 'each_user'
      and c.period_start = case b.period when 'day' then $3::date else $4::date end
    where b.organization_id = $1 and b.id > $2 order by b.id limit $5`,
);
export type ListedRow = BudgetRow & {
  used_micros: number | null;
  used_tokens: number | null;
  reserved_micros: number | null;
  reserved_tokens: number | null;
};
export const listBudgets = (
  sql: Sql,
  organization: string,
  after: string,
  periods: { day: string; month: string },
  limit: number,
): Promise<ListedRow[]> => sql.rows<ListedRow>(page, [organization, after, periods.day, periods.month, limit]);

const insert = statement(
  "budgets.insert",
  `insert into budgets (organization_id, id, subject_kind, subject_id, period, limit_micros, limit_tokens, action)
   values ($1, $2, $3, $4, $5, $6, $7, $8)`,
);
export async function insertBudget(
  sql: Sql,
  organization: string,
  budget: Omit<BudgetRow, "created_at">,
): Promise<void> {
  const { id, subject_kind, subject_id, period, limit_micros, limit_tokens, action } = budget;
  await sql.run(insert, [organization, id, subject_kind, subject_id, period, limit_micros, limit_tokens, action]);
}

const get = statement("budgets.get", `select ${columns} from budgets b where b.organization_id = $1 and b.id = $2`);
export const findBudget = (sql: Sql, organization: string, id: string): Promise<BudgetRow | undefined> =>
  sql.row<BudgetRow>(get, [organization, id]);

const update = statement(
  "budgets.update",
  "update budgets set limit_micros = $3, limit_tokens = $4, action = $5 where organization_id = $1 and id = $2",
);
export async function updateBudget(sql: Sql, organization: string, budget: BudgetRow): Promise<void> {
  await sql.run(update, [organization, budget.id, budget.limit_micros, budget.limit_tokens, budget.action]);
}

const remove = statement("budgets.delete", "delete from budgets where organization_id = $1 and id = $2");
export const deleteBudget = (sql: Sql, organization: string, id: string): Promise<number> =>
  sql.run(remove, [organization, id]);

// Reservations

/** One counter in one period. */
export type Counter = { readonly budget: BudgetRow; readonly subject: string; readonly start: string };

// The row's lock orders what is reserved at the same time; nothing written means that there is no room.
const reserve = statement(
  "budgets.reserve",
  `insert into budget_counters as c (organization_id, budget_id, subject_id, period_start, reserved_micros, reserved_tokens)
   select $1, $2, $3, $4, $5, $6
    where ($7::bigint is null or $5::bigint <= $7) and ($8::bigint is null or $6::bigint <= $8)
   on conflict (organization_id, budget_id, subject_id, period_start) do update
     set reserved_micros = c.reserved_micros + excluded.reserved_micros,
         reserved_tokens = c.reserved_tokens + excluded.reserved_tokens
   where ($7::bigint is null or c.used_micros + c.reserved_micros + excluded.reserved_micros <= $7)
     and ($8::bigint is null or c.used_tokens + c.reserved_tokens + excluded.reserved_tokens <= $8)`,
);
const hold = statement(
  "budgets.hold",
  `insert into budget_reservations (organization_id, run_id, step, budget_id, subject_id, period_start, micros, tokens,
     input_micros, input_tokens, holder)
   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
);
const permitted = statement(
  "budgets.permitted",
  `select 1 as yes from budget_permits
    where organization_id = $1 and budget_id = $2 and period_start = $3 and scope_id in ($4, $5)`,
);

/** A step, and who made its reservation: a uuid of that one call, since its process may be taken for lost. */
export type HeldStep = { readonly step: number; readonly holder: string };

/** @returns false when the counter has no room, and nobody allowed the run to go beyond it */
export async function reserveFrom(
  tx: Transaction,
  { organization, run, thread }: BudgetRun,
  { step, holder }: HeldStep,
  { budget, subject, start }: Counter,
  { atMost: { micros, tokens }, input }: Estimate,
): Promise<boolean> {
  const key = [organization, budget.id, subject, start, micros, tokens];
  if ((await tx.run(reserve, [...key, budget.limit_micros, budget.limit_tokens])) === 0) {
    if ((await tx.row(permitted, [organization, budget.id, start, run, thread])) === undefined) return false;
    await tx.run(reserve, [...key, null, null]);
  }
  const kept = [micros, tokens, input.micros, input.tokens];
  await tx.run(hold, [organization, run, step, budget.id, subject, start, ...kept, holder]);
  return true;
}

const settle = statement(
  "budgets.settle",
  `with gone as (
     delete from budget_reservations where organization_id = $1 and run_id = $2 and step = $3
        and ($6::uuid is null or holder = $6)
     returning budget_id, subject_id, period_start, micros, tokens, input_micros, input_tokens)
   update budget_counters c
      set reserved_micros = c.reserved_micros - g.micros, reserved_tokens = c.reserved_tokens - g.tokens,
          used_micros = c.used_micros + coalesce($4, g.input_micros),
          used_tokens = c.used_tokens + coalesce($5, g.input_tokens)
     from gone g
    where c.organization_id = $1 and c.budget_id = g.budget_id and c.subject_id = g.subject_id
      and c.period_start = g.period_start`,
);
/**
 * What was reserved for a model call becomes what it used. Once: repeating it changes nothing.
 *
 * @param holder null settles whatever is left of the step, as does who takes the run over
 *
 * @param used null when nobody knows: then it is what its input was reckoned at
 */
export async function settleStep(
  sql: Sql,
  { organization, run }: Pick<BudgetRun, "organization" | "run">,
  { step, holder }: { step: number; holder: string | null },
  used: Amount | null,
): Promise<void> {
  await sql.run(settle, [organization, run, step, used?.micros ?? null, used?.tokens ?? null, holder]);
}

const open = statement(
  "budgets.open",
  "select distinct step from budget_reservations where organization_id = $1 and run_id = $2",
);
/** Steps of a run whose model calls have not been settled. */
export async function openSteps(sql: Sql, organization: string, run: string): Promise<number[]> {
  return (await sql.rows<{ step: number }>(open, [organization, run])).map(({ step }) => step);
}

const old = statement(
  "budgets.old_reservations",
  `select organization_id as organization, run_id as run, step from budget_reservations
    where created_at < now() - interval '1 minute' order by created_at limit 500`,
);
export type OpenStep = { organization: string; run: string; step: number };
export const oldReservations = (sql: Sql): Promise<OpenStep[]> => sql.rows<OpenStep>(old);

const permit = statement(
  "budgets.permit",
  `insert into budget_permits (organization_id, budget_id, period_start, scope_id) values ($1, $2, $3, $4)
   on conflict do nothing`,
);
/** Lets a run, or a thread's runs, go beyond a budget for the rest of its period. */
export async function permitBeyond(
  sql: Sql,
  organization: string,
  budget: string,
  start: string,
  scope: string,
): Promise<void> {
  await sql.run(permit, [organization, budget, start, scope]);
}
