import { agentConfig } from "@callboard/protocol";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bound, leave } from "./child-limits.ts";

const limits = (more: object) => agentConfig.parse({ name: "A", limits: more }).limits;
const used = (tokens: number, cost: number) => ({ input_tokens: tokens, output_tokens: 0, cost_micros: cost });

test("a run leaves what it has not used, in equal parts", () => {
  const left = leave(limits({ max_tokens: 1000, max_cost_micros: 90 }), used(100, 30), 5000.7, 3);
  expect(left).toEqual({ timeout_ms: 5000, max_tokens: 300, max_cost_micros: 20 });
});

test("without limits it leaves only its time", () => {
  expect(leave(limits({}), used(100, 30), 5000, 1)).toEqual({ timeout_ms: 5000 });
});

test("a run whose time, tokens or money are used up leaves nothing", () => {
  expect(leave(limits({ max_tokens: 100 }), used(100, 0), 5000, 1)).toBeUndefined();
  expect(leave(limits({ max_cost_micros: 10 }), used(0, 11), 5000, 1)).toBeUndefined();
  expect(leave(limits({}), used(0, 0), 0.5, 1)).toBeUndefined();
});

test("the parts together are never more than what is left", () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.nat(100_000), fc.integer({ min: 1, max: 32 }), (max, tokens, share) => {
      const part = leave(limits({ max_tokens: max + 1 }), used(tokens, 0), 1000, share)?.max_tokens ?? 0;
      expect(part * share).toBeLessThanOrEqual(Math.max(0, max + 1 - tokens));
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
