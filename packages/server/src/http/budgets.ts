/** Budgets, and what model calls used. */
import {
  type AccessWakes,
  type Acts,
  findPerson,
  hasToken,
  manageBudgets,
  readBudgets,
  readUsage,
} from "../access/index.ts";
import type { Agents } from "../agents/index.ts";
import { changeBudget, createBudget, type IsKnown, listBudgets, removeBudget } from "../budgets/index.ts";
import { listModelCalls, usageTotals } from "../runs/index.ts";
import type { Sql } from "../storage/index.ts";
import type { Handlers } from "./handler.ts";

export type BudgetRooms = {
  readonly sql: Sql;
  readonly acts: Acts;
  readonly wakes: Pick<AccessWakes, "send">;
  readonly agents: Pick<Agents, "facts">;
  readonly now: () => Date;
};

type BudgetRoute =
  | "budgets.list"
  | "budgets.create"
  | "budgets.update"
  | "budgets.delete"
  | "usage.totals"
  | "usage.calls";

export function budgetHandlers({ sql, acts, wakes, agents, now }: BudgetRooms): Pick<Handlers, BudgetRoute> {
  const isKnown: IsKnown = async (organizationId, subject) => {
    switch (subject.kind) {
      case "agent":
        return (await agents.facts(sql, organizationId, subject.id)) !== undefined;
      case "user":
        return (await findPerson(sql, organizationId, subject.id)) !== undefined;
      case "token":
        return hasToken(sql, organizationId, subject.id);
      default:
        return false;
    }
  };
  return {
    "budgets.list": async ({ caller, query }) => listBudgets(sql, readBudgets(caller), query, now()),

    "budgets.create": (request) =>
      acts.once(request, "budget.create", (tx, caller) =>
        createBudget(tx, wakes, isKnown, manageBudgets(caller), request.body, request.requestId),
      ),

    "budgets.update": (request) =>
      acts.run(request, "budget.update", request.params.budget_id, (tx, caller) =>
        changeBudget(tx, wakes, manageBudgets(caller), request.params.budget_id, request.body, request.requestId),
      ),

    "budgets.delete": async (request) => {
      await acts.run(request, "budget.delete", request.params.budget_id, (tx, caller) =>
        removeBudget(tx, wakes, manageBudgets(caller), request.params.budget_id, request.requestId),
      );
    },

    "usage.totals": async ({ caller, query }) => usageTotals(sql, readUsage(caller), query, now()),

    "usage.calls": async ({ caller, query }) => listModelCalls(sql, readUsage(caller), query),
  };
}
