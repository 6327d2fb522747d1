/** When a tool call waits for a person, and who that may be: what an agent's configuration says about it. */
import { z } from "zod";

/** A place in a tool's input; `[*]` stands for every item of a list. */
export const inputPath = z
  .string()
  .max(200)
  .regex(
    /^[^.[\]\s]+(?:\.[^.[\]\s]+|\[(?:\d{1,4}|\*)\])*$/,
    "expected a path like amount_cents, order.lines[0].sku or lines[*].amount",
  );

const scalar = z.union([z.string().max(1000), z.number(), z.boolean(), z.null()]);
const tests = {
  /** There is a value, also `null`. */
  exists: z.boolean().optional(),
  equals: scalar.optional(),
  in: z.array(scalar).min(1).max(200).optional(),
  /** A regular expression in Unicode mode, unanchored. */
  matches: z.string().min(1).max(200).optional(),
  above: z.number().optional(),
  below: z.number().optional(),
};

/** Tests of the value at `path`; all that are given must hold, and with `[*]` for one item. */
export const comparison = z
  .strictObject({ path: inputPath, ...tests })
  .refine(({ path: _, ...given }) => Object.values(given).some((test) => test !== undefined), {
    message: `expected one of ${Object.keys(tests).join(", ")} beside path`,
  });
export type Comparison = z.infer<typeof comparison>;

/** A condition on a tool's input. */
export type Condition = { all: Condition[] } | { any: Condition[] } | { not: Condition } | Comparison;
const conditions = z.lazy(() => z.array(condition).min(1).max(50));
export const condition: z.ZodType<Condition> = z
  .lazy(() =>
    z.union([
      z.strictObject({ all: conditions }),
      z.strictObject({ any: conditions }),
      z.strictObject({ not: condition }),
      comparison,
    ]),
  )
  .meta({ id: "Condition" });

/** `always` asks a person before each call, `never` does not ask, `when` asks for the calls it fits. */
export const approvalPolicy = z.union([z.enum(["never", "always"]), z.strictObject({ when: condition })]);
export type ApprovalPolicy = z.infer<typeof approvalPolicy>;

/**
 * Who may decide: `caller`, the person the run works for; `owner`, the agent's owner; `group:<slug>`, the members
 * of a group; `admins`, the organization's owners and admins; `service`, the service token the run works for.
 */
export const approver = z
  .string()
  .max(80)
  .regex(
    /^(?:caller|owner|admins|service|group:[a-z0-9]+(?:-[a-z0-9]+)*)$/,
    "expected caller, owner, admins, service, or group: with a group's slug",
  );

export const approvals = z.strictObject({
  /** Whoever is in this list, and nobody else: admins too are none unless it names them. */
  approvers: z.array(approver).min(1).max(20).default(["caller"]),
  /** Four eyes: who the run works for may not decide, whatever the list says. */
  not_requester: z.boolean().default(false),
  /** What follows when nobody decides in time: the run fails, or the call counts as denied. */
  on_expiry: z.enum(["fail", "deny"]).default("fail"),
});
export type Approvals = z.output<typeof approvals>;

// A decision

export const permissionDecision = z.enum(["allow_once", "allow_for_thread", "deny"]);
export type PermissionDecision = z.infer<typeof permissionDecision>;

/** What a decision may say beside its word. */
export const decisionFields = {
  decision: permissionDecision,
  /** Told to the model when it denies. */
  message: z.string().max(4000).optional(),
  /** The `arguments_hash` of the request as the decider saw it; with another one the decision is refused. */
  arguments_hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits")
    .optional(),
  /** The `agent_version` of the request as the decider saw it. */
  agent_version: z.number().int().nullable().optional(),
};
