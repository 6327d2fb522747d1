/** Budgets as admins set them. */
import {
  type Budget,
  type BudgetSubject,
  CallboardError,
  type CreateBudget,
  fromUuid,
  newId,
  type OrganizationId,
  parseId,
  type RequestId,
  toUuid,
  type UpdateBudget,
} from "@callboard/protocol";
import { type AccessWakes, accessChanged, audit, type Grant, invalidRequest } from "../access/index.ts";
import { decodeCursor, FIRST_UUID, type Sql, type Transaction, toPage } from "../storage/index.ts";
import { type BudgetRow, periodStart, toSubject } from "./budget.ts";
import { deleteBudget, findBudget, insertBudget, type ListedRow, listBudgets, updateBudget } from "./store.ts";

type Send = Pick<AccessWakes, "send">;
type Page = { limit: number; cursor?: string | undefined };

const toBudget = (row: BudgetRow): Budget => ({
  id: fromUuid("budget", row.id),
  subject: toSubject(row),
  period: row.period,
  limit_micros: row.limit_micros,
  limit_tokens: row.limit_tokens,
  action: row.action,
  created_at: row.created_at,
});

function toListed(row: ListedRow): Budget {
  if (row.subject_kind === "each_user") return toBudget(row);
  const used = {
    micros: row.used_micros ?? 0,
    tokens: row.used_tokens ?? 0,
    reserved_micros: row.reserved_micros ?? 0,
    reserved_tokens: row.reserved_tokens ?? 0,
  };
  return { ...toBudget(row), used };
}

/** In the order of creation. @throws invalid_request for a wrong cursor */
export async function listOf(
  sql: Sql,
  { organizationId }: Grant<"budgets.read">,
  page: Page,
  at: Date,
): Promise<{ data: Budget[]; next_cursor: string | null }> {
  const after = decodeCursor(page.cursor, "uuid") ?? FIRST_UUID;
  const periods = { day: periodStart("day", at), month: periodStart("month", at) };
  const rows = await listBudgets(sql, toUuid(organizationId), after, periods, page.limit + 1);
  return toPage(rows, page.limit, (row) => row.id, toListed);
}

/** Whether a budget's subject is a thing of the organization. */
export type IsKnown = (organizationId: OrganizationId, subject: BudgetSubject & { id: string }) => Promise<boolean>;

/** @throws invalid_request without a limit, and for a subject that is not the organization's */
export async function createBudget(
  tx: Transaction,
  wakes: Send,
  isKnown: IsKnown,
  { caller, organizationId }: Grant<"budgets.manage">,
  body: CreateBudget,
  requestId: RequestId,
): Promise<Budget> {
  requireLimit(body);
  const { subject } = body;
  if ("id" in subject && !(await isKnown(organizationId, subject))) {
    throw invalidRequest([{ path: "subject.id", message: `expected a ${subject.kind} of the organization` }]);
  }
  const id = newId("budget");
  await insertBudget(tx, toUuid(organizationId), {
    id: toUuid(id),
    subject_kind: subject.kind,
    subject_id: "id" in subject ? toUuid(subject.id) : null,
    period: body.period,
    limit_micros: body.limit_micros,
    limit_tokens: body.limit_tokens,
    action: body.action,
  });
  await accessChanged(tx, wakes, organizationId);
  await audit(tx, {
    actor: { caller },
    action: "budget.create",
    target: id,
    outcome: "done",
    details: body,
    requestId,
  });
  return read(tx, organizationId, id);
}

/** @throws not_found, invalid_request */
export async function changeBudget(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"budgets.manage">,
  budgetId: string,
  body: UpdateBudget,
  requestId: RequestId,
): Promise<Budget> {
  const before = await readRow(tx, organizationId, budgetId);
  const after: BudgetRow = {
    ...before,
    limit_micros: body.limit_micros === undefined ? before.limit_micros : body.limit_micros,
    limit_tokens: body.limit_tokens === undefined ? before.limit_tokens : body.limit_tokens,
    action: body.action ?? before.action,
  };
  requireLimit(after);
  await updateBudget(tx, toUuid(organizationId), after);
  await accessChanged(tx, wakes, organizationId);
  const target = fromUuid("budget", before.id);
  const limits = ({ limit_micros, limit_tokens, action }: BudgetRow) => ({ limit_micros, limit_tokens, action });
  const details = { before: limits(before), after: limits(after) };
  await audit(tx, { actor: { caller }, action: "budget.update", target, outcome: "done", details, requestId });
  return toBudget(after);
}

/** Its counters go with it. @throws not_found */
export async function removeBudget(
  tx: Transaction,
  wakes: Send,
  { caller, organizationId }: Grant<"budgets.manage">,
  budgetId: string,
  requestId: RequestId,
): Promise<void> {
  const row = await readRow(tx, organizationId, budgetId);
  await deleteBudget(tx, toUuid(organizationId), row.id);
  await accessChanged(tx, wakes, organizationId);
  const target = fromUuid("budget", row.id);
  await audit(tx, { actor: { caller }, action: "budget.delete", target, outcome: "done", requestId });
}

function requireLimit(body: {
  limit_micros?: number | null | undefined;
  limit_tokens?: number | null | undefined;
}): void {
  if (body.limit_micros != null || body.limit_tokens != null) return;
  throw invalidRequest([{ path: "limit_micros", message: "expected limit_micros, limit_tokens or both" }]);
}

async function readRow(sql: Sql, organizationId: OrganizationId, budgetId: string): Promise<BudgetRow> {
  const id = parseId("budget", budgetId);
  const row = id === undefined ? undefined : await findBudget(sql, toUuid(organizationId), toUuid(id));
  if (row === undefined) throw new CallboardError("not_found", "there is no such budget for this caller");
  return row;
}

const read = async (sql: Sql, organizationId: OrganizationId, id: string): Promise<Budget> =>
  toBudget(await readRow(sql, organizationId, id));
