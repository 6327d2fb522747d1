/**
 * The life of a run, as one table that server, client and console ask.
 *
 *   queued → running ⇄ waiting → completed | failed | canceled
 */
export const runStates = ["queued", "running", "waiting", "completed", "failed", "canceled"] as const;
export type RunState = (typeof runStates)[number];

export const runSignals = ["claim", "release", "wait", "answer", "complete", "fail", "cancel", "expire"] as const;
export type RunSignal = (typeof runSignals)[number];

/** What each signal does in each state; absent means refused. */
export const runNext = {
  queued: { claim: "running", cancel: "canceled", fail: "failed" },
  running: {
    claim: "running", // another process takes over after the lease expired
    release: "queued",
    wait: "waiting",
    complete: "completed",
    fail: "failed",
    cancel: "canceled",
  },
  waiting: { answer: "queued", cancel: "canceled", expire: "failed" },
  completed: {},
  failed: {},
  canceled: {},
} as const satisfies Record<RunState, Partial<Record<RunSignal, RunState>>>;

export type RunDecision = { kind: "moved"; to: RunState } | { kind: "refused"; from: RunState };

/** The state after `signal`, or a refusal. */
export function nextRunState(from: RunState, signal: RunSignal): RunDecision {
  const to = (runNext[from] as Partial<Record<RunSignal, RunState>>)[signal];
  return to === undefined ? { kind: "refused", from } : { kind: "moved", to };
}

export const isTerminal = (state: RunState): boolean =>
  state === "completed" || state === "failed" || state === "canceled";

/** Questions a client asks before it shows a button. */
export const can = {
  cancel: (run: { state: RunState }): boolean => nextRunState(run.state, "cancel").kind === "moved",
};
