/**
 * Which calls of a step a person must allow, and what that person is asked.
 *
 *   tool's policy ─┐
 *                  ├─ either asks ─ allowed for the thread, same tool, version and scope? ─ no ─▶ question
 *   agent's policy ┘
 *
 * P1  The stricter policy wins, and what cannot be told asks.
 * P2  An answer holds for the call it was given for: the same call, tool, arguments and version. Anything else is
 *     asked about again.
 * P3  With `not_requester` nobody's allowance for a thread covers a run that works for himself.
 */
import {
  type AgentConfig,
  type CallId,
  type EventData,
  fromUuid,
  type Json,
  newId,
  type PermissionId,
  type PermissionReason,
  toUuid,
} from "@callboard/protocol";
import { meets } from "../agents/index.ts";
import { type Allowance, allowancesOf, type NewPermission, type PermissionRow, type Principal } from "../runs/index.ts";
import type { Database } from "../storage/index.ts";
import { argumentsHash, checkInput, type LoadedTool, scopeOf, shownInput, toolAsks } from "../tools/index.ts";
import { type ToolRun, toolCaller } from "./tool-context.ts";

/** A call as far as approval goes. */
export type AskedCall = {
  readonly id: CallId;
  readonly name: string;
  readonly input: Json;
  readonly tool?: LoadedTool | undefined;
  /** The input as the tool's schema gives it. */
  value?: unknown;
};

export type ApprovalHost = {
  readonly services: { readonly database: Database };
  readonly run: ToolRun;
  readonly config: AgentConfig;
  readonly now: () => Date;
};

export class Approvals {
  readonly #host: ApprovalHost;
  #allowed: Promise<Allowance[]> | undefined;

  constructor(host: ApprovalHost) {
    this.#host = host;
  }

  /** Whether a person must be asked before a call with checked input may start. */
  async asks(call: AskedCall & { readonly tool: LoadedTool }): Promise<boolean> {
    const context = { caller: toolCaller(this.#host.run) };
    if (!agentAsks(this.#host.config, call) && !(await toolAsks(call.tool, call.value, context))) return false;
    const allowed = (await this.#allowances()).filter(({ tool }) => tool === call.name);
    if (allowed.length === 0) return true;
    const scope = await scopeOf(call.tool, call.value, context);
    return !allowed.some((allowance) => allowance.scope === scope);
  }

  /** The question about a call, to be written when its run begins to wait. */
  async question(
    call: AskedCall,
    reason: PermissionReason,
  ): Promise<{ id: PermissionId; permission: NewPermission; requested: EventData<"permission.requested"> }> {
    const { run, config, now } = this.#host;
    const { row } = run;
    const at = now();
    const expiresAt = new Date(at.getTime() + config.limits.permission_timeout_ms).toISOString();
    const id = newId("permission");
    const hash = argumentsHash(call.input);
    const input = call.tool === undefined ? null : shownInput(call.tool, call.input);
    const permission: NewPermission = {
      id: toUuid(id),
      call: toUuid(call.id),
      agent: row.agent_id,
      agentName: config.name,
      version: row.agent_version,
      reason,
      tool: call.name,
      input,
      argumentsHash: hash,
      scope: await this.#scope(call, reason),
      approvals: config.approvals,
      requesterUser: row.principal.userId === null ? null : toUuid(row.principal.userId),
      requesterToken: row.principal.kind === "service" ? toUuid(row.principal.tokenId) : null,
      expiresAt,
      at: at.toISOString(),
    };
    const requested = {
      permission_id: id,
      call_id: call.id,
      tool: call.name,
      input,
      arguments_hash: hash,
      reason,
      expires_at: expiresAt,
    };
    return { id, permission, requested };
  }

  /** Whether to repeat one call is no question of what may be done later. */
  async #scope({ tool, input }: AskedCall, reason: PermissionReason): Promise<string | null> {
    if (reason === "unknown_outcome" || tool === undefined) return null;
    const checked = await checkInput(tool, input); // a call that was read back has not been checked yet
    return checked.ok ? scopeOf(tool, checked.value, { caller: toolCaller(this.#host.run) }) : null;
  }

  #allowances(): Promise<Allowance[]> {
    const { services, run, config } = this.#host;
    const { organization_id, thread_id, agent_version, principal } = run.row;
    // P3: whom this run works for may have been asked when another one's run wanted it.
    const notBy = config.approvals.not_requester ? requestersOf(principal) : null;
    this.#allowed ??= allowancesOf(services.database, organization_id, thread_id, agent_version, notBy);
    return this.#allowed;
  }
}

function agentAsks({ tools }: AgentConfig, call: AskedCall): boolean {
  const approval = tools.find(({ name }) => name === call.name)?.approval ?? "never";
  return typeof approval === "string" ? approval === "always" : meets(approval.when, call.value);
}

const requestersOf = ({ kind, userId, tokenId }: Principal): string[] => [
  ...(userId === null ? [] : [userId]),
  ...(kind === "service" ? [tokenId] : []),
];

/** P2 */
export const isAbout = (asked: PermissionRow, call: AskedCall, version: number | null): boolean =>
  fromUuid("call", asked.call_id) === call.id &&
  asked.tool === call.name &&
  asked.arguments_hash === argumentsHash(call.input) &&
  asked.agent_version === version;
