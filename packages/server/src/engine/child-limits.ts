/** How much a run may use that another one has called: its own limits, and what is left of its caller's. */
import type { AgentConfig, Usage } from "@callboard/protocol";
import type { RunLimits, RunRow } from "../runs/index.ts";

type Limits = AgentConfig["limits"];

/** The stricter of both, for each of them. */
export function bound(config: AgentConfig, { limits: given }: Pick<RunRow, "limits">): AgentConfig {
  if (given === null) return config;
  const { limits } = config;
  const timeout_ms = Math.min(limits.timeout_ms, given.timeout_ms);
  return {
    ...config,
    limits: {
      ...limits,
      timeout_ms,
      ...least("max_tokens", limits, given),
      ...least("max_cost_micros", limits, given),
    },
  };
}

function least<Name extends "max_tokens" | "max_cost_micros">(name: Name, own: Limits, given: RunLimits): object {
  const values = [own[name], given[name]].filter((value) => value !== undefined);
  return values.length === 0 ? {} : { [name]: Math.min(...values) };
}

/**
 * What a run leaves to one it calls.
 *
 * @param limits of the run that calls
 * @param used by it and all it has called so far
 * @param leftMs of its running time
 * @param share calls of the same step that may use it too: each gets its part, so that together they stay within
 * @returns undefined when nothing is left
 */
export function leave(limits: Limits, used: Usage, leftMs: number, share: number): RunLimits | undefined {
  const tokens = part(limits.max_tokens, used.input_tokens + used.output_tokens, share);
  const cost = part(limits.max_cost_micros, used.cost_micros, share);
  if (leftMs < 1 || (tokens !== undefined && tokens < 1) || (cost !== undefined && cost < 0)) return undefined;
  return {
    timeout_ms: Math.floor(leftMs),
    ...(tokens === undefined ? {} : { max_tokens: tokens }),
    ...(cost === undefined ? {} : { max_cost_micros: cost }),
  };
}

const part = (limit: number | undefined, used: number, share: number): number | undefined =>
  limit === undefined ? undefined : Math.floor((limit - used) / share);
