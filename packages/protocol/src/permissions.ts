/** Permissions: requests to people to decide one tool call each. */
import { z } from "zod";
import { approver, decisionFields, permissionDecision } from "./approvals.ts";
import { json, listOf, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";
import { principalRef } from "./threads.ts";

export const permissionStates = ["pending", "allowed", "denied", "expired"] as const;
export const permissionState = z.enum(permissionStates);
export type PermissionState = z.infer<typeof permissionState>;

/** `approval`: the policy asks. `unknown_outcome`: the call was made, and a crash hid what came of it.
 * `budget`: a budget has no room for the next model call; `tool` is `beyond-budget` then. */
export const permissionReason = z.enum(["approval", "unknown_outcome", "budget"]);
export type PermissionReason = z.infer<typeof permissionReason>;

export const decidePermission = z.strictObject(decisionFields);
export type DecidePermission = z.output<typeof decidePermission>;

export const permission = z
  .object({
    id: idSchema("permission"),
    state: permissionState,
    reason: permissionReason,
    tool: z.string(),
    /** Without the parts that the tool calls sensitive. */
    input: json,
    /** SHA-256 of the whole input as canonical JSON, hex. */
    arguments_hash: z.string(),
    /** What `allow_for_thread` covers beside the tool; `""` the tool as a whole, null when it is not offered. */
    scope: z.string().nullable(),
    /** Null for a run without a saved agent. */
    agent_id: idSchema("agent").nullable(),
    agent_name: z.string(),
    agent_version: z.number().int().nullable(),
    thread_id: idSchema("thread"),
    run_id: idSchema("run"),
    call_id: idSchema("call"),
    /** Whom the run works for. */
    requested_by: principalRef.extend({ email: z.string().nullable() }),
    approvers: z.array(approver),
    not_requester: z.boolean(),
    /** What this caller may decide now; empty when it is decided, expired, or for others to decide. */
    decisions: z.array(permissionDecision),
    decision: z
      .object({
        decision: permissionDecision,
        message: z.string().optional(),
        decided_by: principalRef,
        decided_at: timestamp,
      })
      .nullable(),
    expires_at: timestamp,
    created_at: timestamp,
  })
  .meta({ id: "Permission" });
export type Permission = z.infer<typeof permission>;
export const permissionList = listOf(permission);
