/**
 * Room in the budgets for a run's next model call, and the question to the admins when there is none.
 *
 *   hold ─ room ─▶ model call
 *        └ none ─ stop ─▶ the run fails with budget_exceeded
 *               └ ask ─▶ the run waits ─ allowed ─▶ beyond the budget for the rest of its period
 *                                      └ denied, expired ─▶ the run fails
 */
import { type EventData, fromUuid, newId, toUuid } from "@callboard/protocol";
import { BudgetExceeded, type BudgetLedger, type BudgetRun, type Hold } from "../budgets/index.ts";
import type { ModelRequest, ModelTarget, ModelUsage } from "../models/index.ts";
import { type Claim, type NewPermission, type PermissionRow, permissionsOf } from "../runs/index.ts";
import type { Database } from "../storage/index.ts";
import { argumentsHash } from "../tools/index.ts";
import { atMost, type Counted } from "./estimate.ts";
import { RunFailure, RunPause } from "./stop.ts";

/** Stands where a tool's name is: no tool is called like this. */
const ASKED = "beyond-budget";

export type BudgetHost = {
  readonly database: Database;
  readonly budgets: Pick<BudgetLedger, "hold" | "permit">;
  readonly cost: (provider: string, model: string, usage: ModelUsage) => number;
  readonly now: () => Date;
};

/** What of the agent's configuration counts here. */
type Config = { readonly name: string; readonly limits: { readonly permission_timeout_ms: number } };

/** `maxOutputTokens` bounds the call to what room there was. */
export type Room = { readonly hold?: Hold; readonly maxOutputTokens?: number };

/**
 * @param counted what the provider counted for the call before
 * @returns nothing when no budget counts the run
 * @throws RunFailure budget_exceeded; RunPause when somebody has to be asked first
 */
export async function holdRoom(
  host: BudgetHost,
  claim: Claim,
  config: Config,
  step: number,
  targets: readonly ModelTarget[],
  request: Omit<ModelRequest, "modelId">,
  counted: Counted | undefined,
): Promise<Room> {
  const run = toBudgetRun(claim);
  const ways = once(() => atMost(targets, request, host.cost, counted));
  for (let asked = 0; ; asked++) {
    try {
      const hold = await host.budgets.hold(claim.key.organizationId, run, step, ways);
      if (hold === undefined) return {};
      const { maxOutputTokens } = ways()[hold.index] ?? {};
      return { hold, ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }) };
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) throw error;
      // Each budget can hold the run back once: one that was allowed lets it through.
      if (error.budget.action === "stop" || asked > 100) throw new RunFailure("budget_exceeded", error.message);
      await answerFor(host, claim, config, run, error);
    }
  }
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Returns when the run may go beyond the budget. @throws RunFailure, RunPause */
async function answerFor(
  host: BudgetHost,
  claim: Claim,
  config: Config,
  run: BudgetRun,
  error: BudgetExceeded,
): Promise<void> {
  const input = { budget_id: fromUuid("budget", error.budget.id), period_start: error.start, message: error.message };
  const scope = `${input.budget_id}/${error.start}`;
  const permissions = await permissionsOf(host.database, run.organization, run.run);
  const answer = permissions.findLast(({ reason, input }) => reason === "budget" && scopeOf(input) === scope);
  if (answer === undefined) throw question(host, claim, config, input, scope);
  if (answer.state === "allowed") return host.budgets.permit(run, error, permitted(answer));
  if (answer.state === "pending") throw question(host, claim, config, input, scope); // a crash came before the wait
  const said = answer.message === null ? "" : `; they said: ${answer.message}`;
  throw new RunFailure("budget_exceeded", `${error.message}, and nobody allowed it to go beyond${said}`);
}

const permitted = ({ decision }: PermissionRow): "run" | "thread" =>
  decision === "allow_for_thread" ? "thread" : "run";

function scopeOf(input: unknown): string {
  const { budget_id, period_start } = input as { budget_id?: unknown; period_start?: unknown };
  return `${budget_id}/${period_start}`;
}

function question(
  host: BudgetHost,
  { row }: Claim,
  config: Config,
  input: { budget_id: string; period_start: string; message: string },
  scope: string,
): RunPause {
  const at = host.now();
  const expires_at = new Date(at.getTime() + config.limits.permission_timeout_ms).toISOString();
  const [id, callId] = [newId("permission"), newId("call")];
  const arguments_hash = argumentsHash(input);
  const permission: NewPermission = {
    id: toUuid(id),
    call: toUuid(callId),
    agent: row.agent_id,
    agentName: config.name,
    version: row.agent_version,
    reason: "budget",
    tool: ASKED,
    input,
    argumentsHash: arguments_hash,
    scope,
    approvals: { approvers: ["admins"], not_requester: false, on_expiry: "fail" },
    requesterUser: row.principal.userId === null ? null : toUuid(row.principal.userId),
    requesterToken: row.principal.kind === "service" ? toUuid(row.principal.tokenId) : null,
    expiresAt: expires_at,
    at: at.toISOString(),
  };
  const requested: EventData<"permission.requested"> = {
    permission_id: id,
    call_id: callId,
    tool: ASKED,
    input,
    arguments_hash,
    reason: "budget",
    expires_at,
  };
  return new RunPause(permission, requested);
}

function toBudgetRun({ key, row }: Claim): BudgetRun {
  return {
    organization: key.organization,
    run: key.run,
    thread: key.thread,
    agent: row.agent_id,
    user: row.principal.userId === null ? null : toUuid(row.principal.userId),
    token: toUuid(row.principal.tokenId),
  };
}
