/** Agents as tools of a model: one tool for each agent that a version may call. */
import type { StandardSchema } from "@callboard/kit";
import { type AgentConfig, type OrganizationId, variableValue } from "@callboard/protocol";
import { z } from "zod";
import { type AgentDirectory, agentToolName, agentToolSchema, describeAgent } from "../agents/index.ts";
import type { ModelTool } from "../models/index.ts";
import type { LoadedTool } from "../tools/index.ts";

/** A tool whose work is the run of an agent. */
export type AgentTool = LoadedTool & { readonly agent: string };

/** What holds for every agent's version; the variables are checked against the one that is live when the call begins. */
const input = z.strictObject({
  message: z.string().min(1).max(1_000_000),
  variables: z.record(z.string().max(64), variableValue).optional(),
});
type Input = z.output<typeof input>;

/** A child's run is bounded by its own limits and those of its caller; this is beyond both, in milliseconds. */
const NEVER_MS = 2 ** 31 - 1;

/** The tool of that name, when it stands for an agent that this version may call. */
export function agentTool({ agents }: AgentConfig, name: string): AgentTool | undefined {
  const slug = agents.find((one) => agentToolName(one) === name);
  if (slug === undefined) return undefined;
  return {
    name,
    agent: slug,
    inputSchema: {}, // models are shown the live version's, see `offeredAgents`
    definition: {
      description: "",
      input: input as unknown as StandardSchema,
      effect: "idempotent",
      timeoutMs: NEVER_MS,
      async run(given, { invokeAgent }) {
        const { message, variables } = given as Input;
        const run = await invokeAgent(slug, { message, ...(variables === undefined ? {} : { variables }) });
        if (run.state === "completed") return run.output();
        throw new Error(`the agent's run ${run.state}: ${run.error.code}: ${run.error.message}`);
      },
    },
  };
}

/** What a model is told of the agents it may call; one that is not live now is left out. */
export async function offeredAgents(
  agents: Pick<AgentDirectory, "live">,
  organizationId: OrganizationId,
  config: AgentConfig,
): Promise<ModelTool[]> {
  const offered = config.agents.map(async (slug) => {
    const live = await agents.live(organizationId, slug);
    if (live === undefined) return [];
    return [{ name: agentToolName(slug), description: describeAgent(live), inputSchema: agentToolSchema(live) }];
  });
  return (await Promise.all(offered)).flat();
}
