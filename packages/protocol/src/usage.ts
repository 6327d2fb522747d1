/** Budgets, and what model calls used. Money in micro-dollars; days and months begin at midnight UTC. */
import { z } from "zod";
import { listOf, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";

/** Whose model calls a budget counts; `each_user` gives every person the same budget. */
export const budgetSubject = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("organization") }),
  z.strictObject({ kind: z.literal("agent"), id: idSchema("agent") }),
  z.strictObject({ kind: z.literal("user"), id: idSchema("user") }),
  z.strictObject({ kind: z.literal("each_user") }),
  z.strictObject({ kind: z.literal("token"), id: idSchema("token") }),
]);
export type BudgetSubject = z.infer<typeof budgetSubject>;

const micros = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const limit = micros.nullable();
export const budgetAction = z.enum(["stop", "ask"]);

export const createBudget = z.strictObject({
  subject: budgetSubject,
  period: z.enum(["day", "month"]),
  /** Null for no limit in money. */
  limit_micros: limit.default(null),
  /** Input and output tokens together; also counts models without a known price. Null for no limit. */
  limit_tokens: limit.default(null),
  /** At the limit: `stop` fails the run with `budget_exceeded`; `ask` lets it wait for an owner's or admin's decision. */
  action: budgetAction.default("stop"),
});
export type CreateBudget = z.output<typeof createBudget>;

export const updateBudget = z.strictObject({
  limit_micros: limit.optional(),
  limit_tokens: limit.optional(),
  action: budgetAction.optional(),
});
export type UpdateBudget = z.output<typeof updateBudget>;

export const budget = z
  .object({
    id: idSchema("budget"),
    subject: budgetSubject,
    period: z.enum(["day", "month"]),
    limit_micros: limit,
    limit_tokens: limit,
    action: budgetAction,
    /** The current period so far; absent for `each_user`, which has one for everybody. */
    used: z.object({ micros, tokens: micros, reserved_micros: micros, reserved_tokens: micros }).optional(),
    created_at: timestamp,
  })
  .meta({ id: "Budget" });
export type Budget = z.infer<typeof budget>;
export const budgetList = listOf(budget);

/** Micro-dollars per million tokens. */
export const price = z.object({ input: z.number(), cached_input: z.number().optional(), output: z.number() });

/** One model call. It stays when its thread is deleted; it holds no content. */
export const modelCall = z
  .object({
    run_id: idSchema("run"),
    step: z.number().int(),
    agent_id: idSchema("agent").nullable(),
    user_id: idSchema("user").nullable(),
    token_id: idSchema("token"),
    provider: z.string(),
    model: z.string(),
    input_tokens: micros,
    output_tokens: micros,
    cost_micros: micros,
    /** What it was reckoned with; null for a model without a known price. */
    price: price.nullable(),
    created_at: timestamp,
  })
  .meta({ id: "ModelCall" });
export type ModelCall = z.infer<typeof modelCall>;
export const modelCallList = listOf(modelCall);

export const usageGroups = ["agent", "user", "model", "day"] as const;

export const usageTotals = z
  .object({
    from: timestamp,
    to: timestamp,
    group_by: z.enum(usageGroups).nullable(),
    data: z.array(
      z.object({
        /** Id of the agent or user, `provider/model`, or the day; null for none, and without `group_by`. */
        key: z.string().nullable(),
        calls: micros,
        runs: micros,
        input_tokens: micros,
        output_tokens: micros,
        cost_micros: micros,
      }),
    ),
  })
  .meta({ id: "UsageTotals" });
export type UsageTotals = z.infer<typeof usageTotals>;
