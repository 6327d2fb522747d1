/** Budgets, and what model calls used. */
import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";

export function budgetCalls({ call }: Transport) {
  const byId = (budgetId: string, options?: RequestOptions) => ({ params: { budget_id: budgetId }, ...options });
  return {
    /** Budgets with what the current period has used; for admins. */
    list: (query?: QueryInput<"budgets.list">, options?: RequestOptions) => call("budgets.list", { query, ...options }),

    /** Sets a budget for a day or a month. */
    create: (body: RouteBodyInput<"budgets.create">, options?: CreateOptions) =>
      call("budgets.create", { body, ...options }),

    update: (budgetId: string, body: RouteBodyInput<"budgets.update">, options?: RequestOptions) =>
      call("budgets.update", { ...byId(budgetId, options), body }),

    delete: (budgetId: string, options?: RequestOptions) => call("budgets.delete", byId(budgetId, options)),
  };
}

export function usageCalls({ call }: Transport) {
  return {
    /** Sums of a time, by agent, user, model or day. Without admin rights: one's own. */
    totals: (query?: QueryInput<"usage.totals">, options?: RequestOptions) =>
      call("usage.totals", { query, ...options }),

    /** Model calls with the price they were reckoned with, newest first. */
    calls: (query?: QueryInput<"usage.calls">, options?: RequestOptions) => call("usage.calls", { query, ...options }),
  };
}
