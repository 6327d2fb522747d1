import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { can, isTerminal, nextRunState, type RunSignal, type RunState, runSignals, runStates } from "./run.ts";

const no = "refused";

/** Every cell: a new state or signal does not compile until each of its cells is decided. */
const expected: Record<RunState, Record<RunSignal, RunState | typeof no>> = {
  queued: {
    claim: "running",
    release: no,
    wait: no,
    answer: no,
    complete: no,
    fail: "failed",
    cancel: "canceled",
    expire: no,
  },
  running: {
    claim: "running",
    release: "queued",
    wait: "waiting",
    answer: no,
    complete: "completed",
    fail: "failed",
    cancel: "canceled",
    expire: no,
  },
  waiting: {
    claim: no,
    release: no,
    wait: no,
    answer: "queued",
    complete: no,
    fail: no,
    cancel: "canceled",
    expire: "failed",
  },
  completed: { claim: no, release: no, wait: no, answer: no, complete: no, fail: no, cancel: no, expire: no },
  failed: { claim: no, release: no, wait: no, answer: no, complete: no, fail: no, cancel: no, expire: no },
  canceled: { claim: no, release: no, wait: no, answer: no, complete: no, fail: no, cancel: no, expire: no },
};

describe("the table of run states", () => {
  for (const from of runStates) {
    for (const signal of runSignals) {
      const to = expected[from][signal];
      test(`a ${from} run that is sent ${signal} is ${to}`, () => {
        expect(nextRunState(from, signal)).toEqual(
          to === "refused" ? { kind: "refused", from } : { kind: "moved", to },
        );
      });
    }
  }
});

describe("random signals", () => {
  test("a run that has ended never moves again, and only completes while it runs", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...runSignals), { maxLength: 40 }), (signals) => {
        let state: RunState = "queued";
        for (const signal of signals) {
          const decision = nextRunState(state, signal);
          if (isTerminal(state)) expect(decision).toEqual({ kind: "refused", from: state });
          if (decision.kind === "refused") continue;
          if (decision.to === "completed") expect(state).toBe("running");
          if (decision.to === "running") expect(["queued", "running"]).toContain(state);
          state = decision.to;
        }
      }),
      { numRuns: 500 },
    );
  });

  test("every state can be reached from queued", () => {
    const reached = new Set<RunState>(["queued"]);
    for (let i = 0; i < runStates.length; i++) {
      for (const from of [...reached]) {
        for (const signal of runSignals) {
          const decision = nextRunState(from, signal);
          if (decision.kind === "moved") reached.add(decision.to);
        }
      }
    }
    expect(reached).toEqual(new Set(runStates));
  });
});

describe("questions a client asks", () => {
  test("a run can be canceled as long as it has not ended", () => {
    for (const state of runStates) expect(can.cancel({ state })).toBe(!isTerminal(state));
  });
});
