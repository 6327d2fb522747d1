import { agentConfig } from "@callboard/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bound, leave } from "./child-limits.ts";

const limits = (more: object) => agentConfig.parse({ name: "A", limits: more }).limits;
const used = (tokens: number, cost: number) => ({ input_tokens: tokens, output_tokens: 0, cost_micros: cost });
const none = { used: used(0, 0), given: { tokens: 0, micros: 0 } };

test("a run leaves what it has not used, in equal parts", () => {
  const left = leave(limits({ max_tokens: 1000, max_cost_micros: 90 }), used(100, 30), none, 5000.7, 3);
  expect(left).toEqual({ timeout_ms: 5000, max_tokens: 300, max_cost_micros: 20 });
});

test("without limits it leaves only its time", () => {
  expect(leave(limits({}), used(100, 30), none, 5000, 1)).toEqual({ timeout_ms: 5000 });
});

test("a run whose time, tokens or money are used up leaves nothing", () => {
  expect(leave(limits({ max_tokens: 100 }), used(100, 0), none, 5000, 1)).toBeUndefined();
  expect(leave(limits({ max_cost_micros: 10 }), used(0, 11), none, 5000, 1)).toBeUndefined();
  expect(leave(limits({}), used(0, 0), none, 0.5, 1)).toBeUndefined();
});

test("the parts together are never more than what is left", () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.nat(100_000), fc.integer({ min: 1, max: 32 }), (max, tokens, share) => {
      const part = leave(limits({ max_tokens: max + 1 }), used(tokens, 0), none, 1000, share)?.max_tokens ?? 0;
      expect(part * share).toBeLessThanOrEqual(Math.max(0, max + 1 - tokens));
    }),
  );
});

test("what one under way was given is nobody else's, and what it did not use comes back with its end", () => {
  const below = (tokens: number, given: number) => ({ used: used(tokens, 0), given: { tokens: given, micros: 0 } });
  const left = (...of: [number, number]) => leave(limits({ max_tokens: 1000 }), used(100, 0), below(...of), 1000, 1);
  expect(left(0, 0)?.max_tokens).toBe(900);
  expect(left(50, 600)?.max_tokens).toBe(300);
  expect(left(50, 900)).toBeUndefined();
  expect(left(50, 50)?.max_tokens).toBe(850);
});

test("however runs are called, work and end, they have together no more than their caller's limits", () => {
  const call = fc.record({ share: fc.integer({ min: 1, max: 4 }), uses: fc.array(fc.nat(60), { maxLength: 3 }) });
  const move = fc.oneof({ weight: 2, arbitrary: fc.constant("work" as const) }, { weight: 1, arbitrary: call });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.nat(100), fc.array(move, { maxLength: 40 }), (max, own, moves) => {
      type Child = { limit: number; used: number; uses: number[]; ended: boolean };
      const children: Child[] = [];
      let beyond = 0;
      const sum = (of: (child: Child) => number) => children.reduce((total, child) => total + of(child), 0);
      for (const [i, one] of moves.entries()) {
        if (one === "work") {
          // One that is under way makes its next call, if it may, or ends.
          const open = children.filter(({ ended }) => !ended);
          const child = open[i % Math.max(1, open.length)];
          if (child === undefined) continue;
          const next = child.used < child.limit ? child.uses.pop() : undefined;
          if (next === undefined) child.ended = true;
          else {
            beyond += Math.max(0, child.used + next - child.limit);
            child.used += next;
          }
        } else {
          const given = sum((child) => (child.ended ? child.used : Math.max(child.used, child.limit)));
          const below = {
            used: used(
              sum((child) => child.used),
              0,
            ),
            given: { tokens: given, micros: 0 },
          };
          const left = leave(limits({ max_tokens: max }), used(own, 0), below, 1000, one.share);
          if (left === undefined) continue;
          children.push({ limit: left.max_tokens as number, used: 0, uses: [...one.uses], ended: false });
        }
        // A call that is made within a limit may end beyond it: that much, and no more.
        expect(own + sum((child) => child.used)).toBeLessThanOrEqual(Math.max(own, max) + beyond);
      }
    }),
  );
});

test("a run that was called keeps to the stricter of its own limits and those it was given", () => {
  const config = agentConfig.parse({ name: "A", limits: { max_tokens: 50, timeout_ms: 60_000 } });
  const given = { timeout_ms: 1000, max_tokens: 80, max_cost_micros: 7 };
  expect(bound(config, { limits: given }).limits).toMatchObject({
    timeout_ms: 1000,
    max_tokens: 50,
    max_cost_micros: 7,
  });
  expect(bound(config, { limits: null })).toBe(config);
  expect(config.limits.timeout_ms).toBe(60_000); // versions are shared by their readers
});
