/** What a run may change, and how a change is put into the words of `commits.ts`'s statements. */
import type {
  Approvals,
  PermissionReason,
  RunError,
  RunResult,
  RunState,
  Usage,
  WaitingFor,
} from "@callboard/protocol";
import type { NewEvent } from "../events/index.ts";
import type { RunKey } from "./run.ts";

export type StepRow = {
  step: number;
  message: string;
  provider: string;
  model: string;
  joined: unknown[];
  steered: number;
  parts: unknown[];
  finish: string;
  usage: Usage;
  /** What the cost was reckoned with; null for a model without a known price. */
  price: object | null;
  at: string;
};
export type CallState = "waiting" | "started" | "completed" | "failed" | "denied" | "unknown";
export type CallRow = {
  step: number;
  position: number;
  id: string;
  modelCallId: string;
  tool: string;
  input: unknown;
  effect: "read" | "idempotent" | "once";
  state: CallState;
  at: string | null;
  outputText: string | null;
};
export type CallUpdate = {
  step: number;
  position: number;
  state: CallState;
  output?: unknown;
  outputText?: string;
  at: string;
};
export type PermissionRow = {
  id: string;
  call: string;
  agent: string | null;
  agentName: string;
  version: number | null;
  reason: PermissionReason;
  tool: string;
  /** As people may see it. */
  input: unknown;
  /** Of the whole input. */
  argumentsHash: string;
  /** What an allowance for the thread covers; null when none is offered. */
  scope: string | null;
  approvals: Approvals;
  requesterUser: string | null;
  requesterToken: string | null;
  expiresAt: string;
  at: string;
};

/** How the run's turn on this process ends. */
export type RunEnd = {
  state: Exclude<RunState, "running">;
  at: string;
  runningMs: number;
  usage: Usage;
  result?: RunResult;
  error?: RunError;
  waitingFor?: WaitingFor;
  /** Steering messages the run has taken in (C3); absent where they do not matter: failed, canceled, released. */
  steered?: number;
};

export type Change = {
  events: NewEvent[];
  steps?: StepRow[];
  calls?: CallRow[];
  callUpdates?: CallUpdate[];
  permissions?: PermissionRow[];
  /** The run's usage so far. */
  usage?: Usage;
  /** Written only while the organization's access epoch is still this one: the change begins tool calls. */
  epoch?: number;
  end?: RunEnd;
};

/** An item as it is sent. */
export type Parcel = {
  key: RunKey;
  fence: number;
  events: NewEvent[];
  steps: StepRow[];
  calls: CallRow[];
  callUpdates: CallUpdate[];
  permissions: PermissionRow[];
  usage: Usage | undefined;
  epoch: number | undefined;
  end: RunEnd | undefined;
};

/** Tool calls or questions are written or changed. */
export const hasCalls = (parcel: Parcel): boolean =>
  parcel.calls.length > 0 || parcel.callUpdates.length > 0 || parcel.permissions.length > 0;

/** Only events: the commonest change by far, and the cheaper statement. */
export const isAppend = (parcel: Parcel): boolean =>
  parcel.steps.length === 0 &&
  parcel.calls.length === 0 &&
  parcel.callUpdates.length === 0 &&
  parcel.permissions.length === 0 &&
  parcel.usage === undefined &&
  parcel.end === undefined;

const leavesThread = (end: RunEnd): boolean => end.state !== "waiting" && end.state !== "queued";

/** One run's part of a statement; what is undefined is left out and arrives as null. */
export function toItemRow(parcel: Parcel, k: number): object {
  const { key, fence, events, end } = parcel;
  const usage = end?.usage ?? parcel.usage;
  return {
    k,
    o: key.organization,
    t: key.thread,
    r: key.run,
    f: fence,
    n: events.length,
    ep: parcel.epoch,
    ev: rowsOf(events, (event, i) => ({ s: i + 1, ty: event.type, b: event.body })),
    seen: end?.steered,
    ts: end === undefined ? undefined : threadStateAfter(end),
    leaves: end === undefined ? undefined : leavesThread(end),
    at: end?.at,
    st: rowsOf(parcel.steps, toStepRow),
    ca: rowsOf(parcel.calls, toCallRow),
    cu: rowsOf(parcel.callUpdates, toCallUpdateRow),
    pe: rowsOf(parcel.permissions, toPermissionRow),
    patch: end !== undefined || usage !== undefined ? true : undefined,
    s: end?.state,
    it: usage?.input_tokens,
    ot: usage?.output_tokens,
    cm: usage?.cost_micros,
    re: end?.result,
    er: end?.error,
    wf: end?.waitingFor,
    ms: end?.runningMs,
    en: end !== undefined && leavesThread(end) ? end.at : undefined,
  };
}

const rowsOf = <T>(list: readonly T[], toRow: (one: T, i: number) => object): object[] | undefined =>
  list.length === 0 ? undefined : list.map(toRow);

const threadStateAfter = (end: RunEnd): string =>
  end.state === "waiting" ? "waiting" : end.state === "queued" ? "running" : "idle";

const toStepRow = (step: StepRow): object => ({
  st: step.step,
  mi: step.message,
  pv: step.provider,
  mo: step.model,
  jo: step.joined,
  se: step.steered,
  pa: step.parts,
  fi: step.finish,
  it: step.usage.input_tokens,
  ot: step.usage.output_tokens,
  cm: step.usage.cost_micros,
  pr: step.price ?? undefined,
  at: step.at,
});

const toCallRow = (call: CallRow): object => ({
  st: call.step,
  po: call.position,
  id: call.id,
  mc: call.modelCallId,
  tn: call.tool,
  ip: call.input,
  ef: call.effect,
  s: call.state,
  at: call.at,
  ox: call.outputText,
});

const toCallUpdateRow = (update: CallUpdate): object => ({
  st: update.step,
  po: update.position,
  s: update.state,
  ou: update.output,
  ox: update.outputText,
  at: update.at,
});

const toPermissionRow = (permission: PermissionRow): object => ({
  id: permission.id,
  ca: permission.call,
  ag: permission.agent,
  an: permission.agentName,
  av: permission.version,
  rn: permission.reason,
  tn: permission.tool,
  ip: permission.input,
  ah: permission.argumentsHash,
  sc: permission.scope,
  ap: permission.approvals.approvers,
  nr: permission.approvals.not_requester,
  oe: permission.approvals.on_expiry,
  ru: permission.requesterUser,
  rt: permission.requesterToken,
  ex: permission.expiresAt,
  at: permission.at,
});
