/** How much a run may use that another one has called: its own limits, and what is left of its caller's. */
import type { AgentConfig, Usage } from "@callboard/protocol";
import type { Below, RunLimits, RunRow } from "../runs/index.ts";

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
 * What a run leaves to one it calls: of what it has not used a part, and nothing that another one under way has been
 * given. So all that it has called, and it, stay together within its limits, but for the last call of each.
 *
 * @param limits of the run that calls
 * @param own what its own model calls used
 * @param below what the runs have that it has called
 * @param leftMs of its running time
 * @param share calls that begin together and may use it too
 * @returns undefined when nothing is left
 */
export function leave(limits: Limits, own: Usage, below: Below, leftMs: number, share: number): RunLimits | undefined {
  const { used, given } = below;
  const ownTokens = own.input_tokens + own.output_tokens;
  const tokens = part(
    limits.max_tokens,
    ownTokens + used.input_tokens + used.output_tokens,
    ownTokens + given.tokens,
    share,
  );
  const cost = part(limits.max_cost_micros, own.cost_micros + used.cost_micros, own.cost_micros + given.micros, share);
  // Models may cost nothing: only what others hold leaves no room for that.
  const least = given.micros > used.cost_micros ? 1 : 0;
  if (leftMs < 1 || (tokens !== undefined && tokens < 1) || (cost !== undefined && cost < least)) return undefined;
  return {
    timeout_ms: Math.floor(leftMs),
    ...(tokens === undefined ? {} : { max_tokens: tokens }),
    ...(cost === undefined ? {} : { max_cost_micros: cost }),
  };
}

const part = (limit: number | undefined, used: number, taken: number, share: number): number | undefined =>
  limit === undefined ? undefined : Math.min(Math.floor((limit - used) / share), limit - taken);
