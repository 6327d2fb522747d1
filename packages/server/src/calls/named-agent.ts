/** An agent as code of the project names it: by its file, by what `callboard generate` wrote, or by its slug. */
import type { AgentFile, AgentRef, StandardSchema } from "@callboard/kit";

export type NamedAgent = AgentFile | AgentRef | string;

/**
 * @param verb what was called, for its error
 * @param ofFile the slug of the default export of a file in `agents/`
 * @throws TypeError
 */
export function slugOf(verb: string, agent: NamedAgent, ofFile: (file: AgentFile) => string | undefined): string {
  const slug = isFile(agent) ? ofFile(agent) : typeof agent === "string" ? agent : agent?.slug;
  if (typeof slug === "string") return slug;
  throw new TypeError(`${verb}: expected a slug or the default export of a file in agents/`);
}

/** What the agent's answers are promised to fit. */
export const schemaOf = (agent: NamedAgent | undefined): StandardSchema | undefined =>
  isFile(agent) ? agent.output : undefined;

const isFile = (agent: NamedAgent | undefined): agent is AgentFile =>
  typeof agent === "object" && agent !== null && "kind" in agent && agent.kind === "agent";
