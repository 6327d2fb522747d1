/** The budgets room: limits of a day or a month, and room that is kept before a model is called. */
export { type Amount, type BudgetRun, type Estimate, NOTHING } from "./budget.ts";
export { BudgetExceeded, BudgetLedger, type Hold, sweepReservations } from "./ledger.ts";
export { changeBudget, createBudget, type IsKnown, listOf as listBudgets, removeBudget } from "./manage.ts";
