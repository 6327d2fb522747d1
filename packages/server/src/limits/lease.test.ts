/** L1, whatever the order of requests, answers and failures. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { creditOf, Lease } from "./lease.ts";

test("what passes is what was granted, and at most the credit more", () => {
  const act = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("take" as const), after: fc.nat(20_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("answer" as const),
        granted: fc.nat(30),
        level: fc.integer({ min: -20, max: 5 }),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: "ask" as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: "fail" as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: "release" as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: "back" as const }) },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.array(act, { maxLength: 200 }), (perMinute, acts) => {
      const lease = new Lease(perMinute);
      let [now, passed, known] = [0, 0, 0];
      let asking: ReturnType<Lease["ask"]> | undefined;
      for (const one of acts) {
        if (one.kind === "take") {
          now += one.after;
          if (lease.take(perMinute, now).kind === "passes") passed++;
        } else if (one.kind === "ask") asking ??= lease.ask(0);
        else if (one.kind === "answer") {
          const { debt, asked } = asking ?? lease.ask(0);
          const granted = Math.min(one.granted, asked);
          known += debt + granted;
          lease.answer(granted, one.level, now);
          asking = undefined;
        } else if (one.kind === "fail") {
          lease.unasked((asking ?? lease.ask(0)).debt);
          asking = undefined;
        } else if (one.kind === "release") lease.release();
        else if (passed > 0) {
          lease.giveBack();
          passed--;
        }
        // `known` is what the database was told or has granted.
        expect(passed).toBeLessThanOrEqual(known + creditOf(perMinute));
      }
    }),
    { numRuns: 500 },
  );
});

test("after an empty bucket nothing passes until one request has come back", () => {
  const lease = new Lease(60);
  lease.take(60, 0);
  lease.ask(0);
  lease.answer(0, -1, 0);
  expect(lease.take(60, 0)).toEqual({ kind: "refused", retryAfterMs: 2000 });
  expect(lease.wants(1999)).toBe(false);
  expect(lease.take(60, 2000)).toEqual({ kind: "passes" });
});

test("what was asked for under another limit goes back", () => {
  const lease = new Lease(60_000);
  lease.take(60_000, 0);
  lease.ask(0);
  lease.take(10, 0);
  lease.answer(1000, 59_000, 0);
  expect(lease.take(10, 0)).toEqual({ kind: "passes" }); // on credit
  expect(lease.take(10, 0)).toEqual({ kind: "waits" });
  expect(lease.ask(1)).toEqual({ perMinute: 10, debt: 1 - 1000, asked: 2 });
});
