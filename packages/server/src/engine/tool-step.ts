/**
 * The tool calls of one step: planned, written down, run, and their results written down.
 *
 * T1  `started` is committed before a tool is called, so after a crash it is known what may have happened.
 * T2  A call that a crash cut off is repeated with the same call id, except one of a `once` tool: its outcome
 *     is unknown, and the agent's policy decides.
 * T3  Each call has one id for ever; each start ends with one `tool.call.completed`.
 * T4  A person is asked in the commit with which the run begins to wait, when all other calls of the step have
 *     ended: a decision always finds its run waiting.
 * T5  A call begins only under rights that hold in the commit that writes it down, and is repeated or allowed
 *     only after they were read again (`authority.ts`).
 * T6  A call whose agent waits stays `started`: the run waits for the agent's run, and the call is made again then.
 */
import type { ToolContext, ToolEffect } from "@callboard/kit";
import {
  type AgentConfig,
  type CallId,
  type EventData,
  type EventType,
  fromUuid,
  type Json,
  newId,
  type RunId,
  toUuid,
  type WaitingFor,
} from "@callboard/protocol";
import type { NewEvent } from "../events/index.ts";
import type { AssistantPart, ToolResult } from "../models/index.ts";
import {
  type CallRow,
  type CallState,
  type CallUpdate,
  type Change,
  type CommitResult,
  childIds,
  type PermissionRow,
  permissionsOf,
  type StoredCall,
  sealCall,
  sealUpdate,
} from "../runs/index.ts";
import {
  type CallResult,
  CallSuspended,
  callTool,
  checkInput,
  isSensitive,
  type LoadedTool,
  type ToolRegistry,
} from "../tools/index.ts";
import type { AgentTool } from "./agent-tools.ts";
import { Approvals, isAbout } from "./approval.ts";
import type { Standing } from "./authority.ts";
import { isOpen, toResult } from "./conversation.ts";
import type { Invocations } from "./invocations.ts";
import { missingTool, RunFailure, RunStop } from "./stop.ts";
import { type ToolRun, type ToolServices, toolContext } from "./tool-context.ts";

/** Calls a model may make in one step; more are refused. */
const MAX_CALLS = 32;

export type ToolHost = {
  services: ToolServices;
  run: ToolRun;
  config: AgentConfig;
  signal: AbortSignal;
  registry: ToolRegistry;
  /** The tool of that name, if the agent's version may call it. */
  find: (name: string) => LoadedTool | AgentTool | undefined;
  /** For calls of other agents. */
  invocations: (call: { id: CallId; effect: ToolEffect; share: number }) => Invocations;
  now: () => Date;
  /** Reads the run's rights anew. @throws RunFailure access_revoked */
  check: () => Promise<Standing>;
  commit: (change: Change) => Promise<CommitResult>;
  /** Writes what nobody waits for. */
  note: (change: Change) => void;
  event: <T extends EventType>(type: T, data: EventData<T>) => NewEvent;
};

/** What a step asks people, to be written when its run begins to wait. */
type Question = {
  waitingFor: WaitingFor;
  change: Required<Pick<Change, "events" | "callUpdates" | "permissions">>;
};

type PlannedCall = {
  readonly id: CallId;
  readonly position: number;
  readonly modelCallId: string;
  readonly name: string;
  readonly input: Json;
  /** Absent when there is no such tool for this agent. */
  readonly tool: LoadedTool | AgentTool | undefined;
  /** The input as the tool's schema gives it. */
  value?: unknown;
  state: CallState;
  /** A crash hid what came of it; a person is asked whether to make it again. */
  outcomeUnknown?: true;
  /** What the model reads; absent until the call has ended. */
  text?: string;
  /** Why it did not end well. */
  reason?: string;
  startedMs?: number;
  /** The run of the agent it has called. */
  child?: RunId | undefined;
  /** That run waits, and the call with it. */
  waitsFor?: RunId;
};

/** What is written about calls when they are read back. */
type Revival = Required<Pick<Change, "events" | "callUpdates">>;

const STATE_AFTER = { ok: "completed", error: "failed", denied: "denied" } as const satisfies Record<
  CallResult["outcome"],
  CallState
>;

const isAgentCall = ({ tool }: PlannedCall): boolean => tool !== undefined && "agent" in tool;

/** What it is given and says is encrypted where it is stored. */
const isHidden = ({ tool }: PlannedCall): boolean => tool !== undefined && isSensitive(tool);

const effectOf = (call: PlannedCall): CallRow["effect"] => call.tool?.definition.effect ?? "read";

export class ToolStep {
  readonly step: number;
  readonly #calls: PlannedCall[];
  /** Calls as they were read back, until `run` makes plans of them. */
  readonly #stored: StoredCall[] | undefined;
  readonly #events: NewEvent[] = [];

  private constructor(step: number, calls: PlannedCall[], stored?: StoredCall[]) {
    this.step = step;
    this.#calls = calls;
    this.#stored = stored;
  }

  /**
   * Plans the calls of a new step: which may start, which are refused, which must be asked for.
   *
   * @param revoked why the run may not go on: all calls are refused then
   */
  static async plan(
    host: ToolHost,
    step: number,
    parts: ReadonlyArray<Extract<AssistantPart, { type: "tool_call" }>>,
    revoked?: string,
  ): Promise<ToolStep> {
    const calls = parts.map(
      (part, position): PlannedCall => ({
        id: newId("call"),
        position,
        modelCallId: part.id,
        name: part.tool,
        input: part.input,
        tool: host.find(part.tool),
        state: "started",
      }),
    );
    const planned = new ToolStep(step, calls);
    const approvals = new Approvals(host);
    for (const call of calls) {
      const denial = revoked ?? scopeDenial(host.run.standing, call.tool);
      if (denial === undefined) await planned.#planOne(host, call, approvals);
      else planned.#deny(host, call, denial);
    }
    return planned;
  }

  /** The calls of a step that a crash, a hand-over or a question interrupted. */
  static resume(step: number, stored: StoredCall[]): ToolStep {
    return new ToolStep(step, [], stored);
  }

  /** Nothing in this step could be called. */
  get useless(): boolean {
    return this.#calls.every((call) => call.state === "failed");
  }

  /** A call of a `once` tool is under way. */
  get busyOnce(): boolean {
    return this.#calls.some(
      (call) => call.state === "started" && effectOf(call) === "once" && call.startedMs !== undefined,
    );
  }

  /** What is written with the step itself. */
  change(host: Pick<ToolHost, "services" | "run">, at: string): Change {
    return {
      events: this.#events,
      calls: this.#calls.map((call) => {
        const row: CallRow = {
          step: this.step,
          position: call.position,
          id: toUuid(call.id),
          modelCallId: call.modelCallId,
          tool: call.name,
          input: call.input,
          effect: effectOf(call),
          state: call.state,
          at: call.state === "waiting" ? null : at,
          outputText: call.text ?? null,
        };
        return isHidden(call) ? sealCall(host.services.keys, host.run.key, row) : row;
      }),
    };
  }

  /**
   * Runs what may run.
   *
   * @returns what it waits for before it goes on; undefined when every call has its result
   * @throws RunStop when the run is lost, times out or is handed over
   */
  async run(host: ToolHost): Promise<Question | undefined> {
    if (this.#stored !== undefined) await this.#revive(host, this.#stored);
    const started = this.#calls.filter((call) => call.state === "started");
    const share = started.filter(isAgentCall).length;
    const settled = await Promise.allSettled(started.map((call) => this.#runOne(host, call, Math.max(1, share))));
    for (const outcome of settled) if (outcome.status === "rejected") throw outcome.reason;
    const question: Question = { waitingFor: [], change: { events: [], callUpdates: [], permissions: [] } };
    // Children first: an index finds the runs that wait for one by that.
    for (const { waitsFor } of this.#calls) {
      if (waitsFor !== undefined) question.waitingFor.push({ kind: "run", id: waitsFor });
    }
    for (const call of this.#calls) if (call.state === "waiting") await this.#ask(host, call, question);
    return question.waitingFor.length === 0 ? undefined : question;
  }

  /** What the model reads, in the order it called. */
  results(): ToolResult[] {
    return this.#calls.map((call) => ({
      callId: call.modelCallId,
      tool: call.name,
      isError: call.state !== "completed",
      text: call.text ?? "",
    }));
  }

  /** The run ends while calls are open: their outcome is not known. */
  abandon(host: Pick<ToolHost, "event" | "now">): Change {
    const at = host.now().toISOString();
    const open = this.#calls.filter((call) => call.state === "started");
    const unasked = this.#calls.filter((call) => call.state === "waiting");
    return {
      events: open.map((call) => this.#completed(host, call, "unknown", "the run ended during this call")),
      callUpdates: [
        ...open.map((call) => ({
          ...this.#place(call),
          state: "unknown" as const,
          outputText: "The run ended during this call.",
          at,
        })),
        ...unasked.map((call) => ({
          ...this.#place(call),
          state: "denied" as const,
          outputText: "The run ended before this call.",
          at,
        })),
      ],
    };
  }

  // Planning

  async #planOne(host: ToolHost, call: PlannedCall, approvals: Approvals): Promise<void> {
    const refusal = await this.#refusal(call);
    if (refusal !== undefined) {
      call.state = "failed";
      call.reason = refusal;
      call.text = `The call was refused: ${refusal}`;
      this.#events.push(this.#started(host, call), this.#completed(host, call, "error", refusal));
    } else if (await approvals.asks({ ...call, tool: call.tool as LoadedTool })) {
      call.state = "waiting";
    } else this.#events.push(this.#started(host, call));
  }

  #deny(host: ToolHost, call: PlannedCall, reason: string): void {
    call.state = "denied";
    call.reason = reason;
    call.text = `The call was refused: ${reason}`;
    this.#events.push(this.#started(host, call), this.#completed(host, call, "denied", reason));
  }

  async #refusal(call: PlannedCall): Promise<string | undefined> {
    if (call.tool === undefined) return `there is no tool ${call.name}`;
    if (call.position >= MAX_CALLS) return `at most ${MAX_CALLS} calls in one step`;
    const checked = await checkInput(call.tool, call.input);
    if (!checked.ok) return `invalid arguments: ${checked.reason}`;
    call.value = checked.value;
    return undefined;
  }

  async #ask(host: ToolHost, call: PlannedCall, { waitingFor, change }: Question): Promise<void> {
    const reason = call.outcomeUnknown === true ? "unknown_outcome" : "approval";
    const { id, permission, requested } = await new Approvals(host).question(call, reason);
    waitingFor.push({ kind: "permission", id });
    change.callUpdates.push({ ...this.#place(call), state: "waiting", at: permission.at });
    change.permissions.push(permission);
    change.events.push(host.event("permission.requested", requested));
  }

  // Coming back

  async #revive(host: ToolHost, stored: readonly StoredCall[]): Promise<void> {
    const { organization_id, id } = host.run.row;
    const permissions = await permissionsOf(host.services.database, organization_id, id);
    for (;;) {
      this.#calls.length = 0;
      const change: Revival = { events: [], callUpdates: [] };
      let failure: RunFailure | undefined;
      for (const row of stored) {
        const problem = await this.#reviveOne(host, row, permissions, change);
        failure ??= problem;
      }
      const { epoch } = host.run.standing;
      const begins = change.callUpdates.some(({ state }) => state === "started");
      const isChange = change.events.length > 0 || change.callUpdates.length > 0;
      const { kind } = isChange ? await host.commit(begins ? { ...change, epoch } : change) : { kind: "committed" };
      if (kind === "committed") {
        if (failure !== undefined) throw failure;
        return;
      }
      if (kind !== "stale") throw new RunStop("lost");
      // T5: under other rights another thing may follow.
      host.run = { ...host.run, standing: await host.check() };
    }
  }

  async #reviveOne(
    host: ToolHost,
    row: StoredCall,
    permissions: readonly PermissionRow[],
    change: Revival,
  ): Promise<RunFailure | undefined> {
    const call: PlannedCall = {
      id: fromUuid("call", row.id),
      position: row.position,
      modelCallId: row.model_call_id,
      name: row.tool,
      input: row.input as Json,
      tool: host.find(row.tool),
      state: row.state,
    };
    this.#calls.push(call);
    if (row.state === "started") return this.#afterCrash(host, call, row, change);
    if (row.state === "waiting") {
      const asked = permissions.findLast((permission) => permission.call_id === row.id);
      return this.#afterQuestion(host, call, asked, change);
    }
    if (isOpen(row)) Object.assign(call, { state: "waiting", outcomeUnknown: true });
    else call.text = toResult(row).text;
    return undefined;
  }

  /** T2 */
  async #afterCrash(
    host: ToolHost,
    call: PlannedCall,
    row: StoredCall,
    change: Revival,
  ): Promise<RunFailure | undefined> {
    if (row.effect !== "once") {
      return this.#denied(host, call, change) ? undefined : this.#checkAgain(host, call);
    }
    const policy = host.config.unknown_outcome;
    const reason = "the server stopped during this call";
    change.events.push(this.#completed(host, call, "unknown", reason));
    if (policy === "ask") {
      // Unknown and without a text: the question is still to be asked, also after another crash.
      Object.assign(call, { state: "waiting", outcomeUnknown: true });
      change.callUpdates.push({ ...this.#place(call), state: "unknown", at: host.now().toISOString() });
      return undefined;
    }
    this.#conclude(
      host,
      call,
      "unknown",
      "The server stopped during this call. Whether it took effect is not known; do not simply repeat it.",
      change,
    );
    if (policy !== "fail") return undefined;
    return new RunFailure("tool_outcome_unknown", `the outcome of the call ${call.id} of ${call.name} is unknown`);
  }

  async #afterQuestion(
    host: ToolHost,
    call: PlannedCall,
    asked: PermissionRow | undefined,
    change: Revival,
  ): Promise<RunFailure | undefined> {
    if (asked === undefined || asked.state === "pending") return undefined; // the crash came before the question
    if (asked.reason === "unknown_outcome") call.outcomeUnknown = true;
    if (asked.state === "allowed") {
      if (!isAbout(asked, call, host.run.row.agent_version)) return undefined; // a yes to something else: ask again
      if (this.#denied(host, call, change)) return undefined;
      const problem = await this.#checkAgain(host, call);
      if (problem !== undefined) return problem;
      call.state = "started";
      change.callUpdates.push({ ...this.#place(call), state: "started", at: host.now().toISOString() });
      change.events.push(this.#started(host, call));
      return undefined;
    }
    const said = asked.message === null ? "" : ` They said: ${asked.message}`;
    const [reason, text] =
      asked.state === "expired"
        ? ["nobody decided in time", "Nobody decided about this call in time, so it was not made."]
        : ["the permission was denied", `The person did not allow this call.${said}`];
    change.events.push(this.#completed(host, call, "denied", reason));
    this.#conclude(host, call, "denied", text, change);
    return undefined;
  }

  /** T5: what the token may be used for may have become less. */
  #denied(host: ToolHost, call: PlannedCall, change: Revival): boolean {
    const denial = scopeDenial(host.run.standing, call.tool);
    if (denial === undefined) return false;
    call.reason = denial;
    change.events.push(this.#completed(host, call, "denied", denial));
    this.#conclude(host, call, "denied", `The call was refused: ${denial}`, change);
    return true;
  }

  async #checkAgain(host: ToolHost, call: PlannedCall): Promise<RunFailure | undefined> {
    if (call.tool === undefined) return missingTool(host.registry, call.name);
    const checked = await checkInput(call.tool, call.input);
    if (!checked.ok)
      return new RunFailure("tool_missing", `the tool ${call.name} no longer accepts the call ${call.id}`);
    call.value = checked.value;
    return undefined;
  }

  #conclude(host: ToolHost, call: PlannedCall, state: CallState, text: string, change: Revival): void {
    call.state = state;
    call.text = text;
    change.callUpdates.push({ ...this.#place(call), state, outputText: text, at: host.now().toISOString() });
  }

  // Running

  /** @param share calls of this step that call agents */
  async #runOne(host: ToolHost, call: PlannedCall, share: number): Promise<void> {
    const tool = call.tool as LoadedTool;
    call.startedMs = performance.now();
    const invocations = host.invocations({ id: call.id, effect: effectOf(call), share });
    const relayStatus: ToolContext["relayStatus"] = (text, more) => {
      host.note({ events: [host.event("status.relayed", { text, ...more })] });
    };
    const { services, run, signal } = host;
    const context = toolContext(services, run, call.id, call.name, signal, relayStatus, invocations.invoke);
    let result: CallResult;
    try {
      result = await callTool(tool, call.value, context, invocations.suspended);
    } catch (error) {
      if (!(error instanceof CallSuspended)) throw error;
      call.waitsFor = error.run;
      return;
    } finally {
      invocations.end();
    }
    if (isAgentCall(call)) call.child = invocations.first;
    call.state = STATE_AFTER[result.outcome];
    call.text = result.text;
    if (result.outcome !== "ok") call.reason = result.reason;
    // Not awaited: the commits of a run are written in order, so nothing that follows is in the log before this.
    host.note(this.#resultChange(host, call, result));
  }

  #resultChange(host: ToolHost, call: PlannedCall, result: CallResult): Change {
    const shown =
      result.outcome === "ok" && call.tool?.definition.public?.output === true ? { output: result.output } : {};
    const update: CallUpdate = {
      ...this.#place(call),
      state: call.state,
      ...(result.outcome === "ok" ? { output: result.output } : {}),
      outputText: result.text,
      at: host.now().toISOString(),
    };
    return {
      events: [this.#completed(host, call, result.outcome, call.reason, shown)],
      callUpdates: [isHidden(call) ? sealUpdate(host.services.keys, host.run.key, update) : update],
    };
  }

  // Events

  #started(host: Pick<ToolHost, "event">, call: PlannedCall): NewEvent {
    const shown = call.tool?.definition.public?.input === true ? { input: call.input } : {};
    const child = isAgentCall(call) ? { child_run_id: childIds(call.id, 1).runId } : {};
    return host.event("tool.call.started", { call_id: call.id, tool: call.name, ...shown, ...child });
  }

  #completed(
    host: Pick<ToolHost, "event">,
    call: PlannedCall,
    outcome: EventData<"tool.call.completed">["outcome"],
    told: string | undefined,
    shown: { output?: Json } = {},
  ): NewEvent {
    // Whatever a tool says of a failure may hold what it was given.
    const isTold = outcome !== "error" || told === undefined || !isHidden(call);
    const reason = isTold ? told : "the tool failed; it is marked sensitive";
    return host.event("tool.call.completed", {
      call_id: call.id,
      tool: call.name,
      outcome,
      ...(call.child === undefined ? {} : { child_run_id: call.child }),
      ...shown,
      ...(reason === undefined ? {} : { reason }),
      duration_ms: call.startedMs === undefined ? 0 : Math.round(performance.now() - call.startedMs),
    });
  }

  #place = (call: PlannedCall): { step: number; position: number } => ({ step: this.step, position: call.position });
}

/** A tool may ask for more of the token than the call of its agent did. */
function scopeDenial({ scopes }: Standing, tool: LoadedTool | undefined): string | undefined {
  const missing = tool?.definition.scopes?.find((scope) => !scopes.has(scope));
  return missing === undefined ? undefined : `the caller's token lacks the scope ${missing}`;
}
