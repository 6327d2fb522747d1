/**
 * Agents that call agents: the tool a model sees for each, and who may call whom.
 *
 * B1  Among live versions no agent reaches itself, and a chain of calls has at most `MAX_DEPTH` of them.
 *     Publishing and activating keep this; slugs that are given to other agents may break it, so a run that
 *     calls checks its own chain again.
 */
import type { JsonSchema } from "@callboard/kit";
import type { AgentConfig, FieldProblem, VariableDeclaration } from "@callboard/protocol";

/** Calls between the first run of a tree and its deepest one. */
export const MAX_DEPTH = 3;

/** Characters that every model provider accepts in a tool's name. */
const MAX_TOOL_NAME = 64;

/** The tool that stands for an agent. Slugs have no `_`, so two agents never share a name. */
export const agentToolName = (slug: string): string => `agent_${slug.replaceAll("-", "_")}`;

/** What a model is told of an agent it may call. */
export function describeAgent({ name, description, output_schema }: AgentConfig): string {
  const about = description === "" ? "" : `: ${description}`;
  const answer = output_schema === undefined ? "" : " It answers with JSON.";
  return `Asks the agent ${name}${about}${about === "" || /[.!?]$/.test(about) ? "" : "."} It knows only what the message says.${answer}`;
}

/** The input of that tool: a message, and the variables that the agent declares. */
export function agentToolSchema({ variables }: AgentConfig): JsonSchema {
  const names = Object.keys(variables);
  const message = { type: "string", minLength: 1, description: "The whole task, with everything the agent must know." };
  const shown = Object.fromEntries(names.map((name) => [name, variableSchema(variables[name] as VariableDeclaration)]));
  return {
    type: "object",
    properties: {
      message,
      ...(names.length === 0 ? {} : { variables: { type: "object", properties: shown, additionalProperties: false } }),
    },
    required: ["message"],
    additionalProperties: false,
  };
}

/** `format: "locale"` is ours alone: providers refuse formats that they do not know. */
function variableSchema({ schema, default: preset }: VariableDeclaration): JsonSchema {
  const shown: JsonSchema = { ...schema, ...(preset === undefined ? {} : { default: preset }) };
  if (shown.format !== "locale") return shown;
  const { format: _, ...rest } = shown;
  return { description: "A language tag like en or de-CH.", ...rest };
}

/** What is wrong with the list as such; whom the agents call in their turn is `callProblems`. */
export function agentListProblems({ agents, tools }: AgentConfig): FieldProblem[] {
  const names = new Set(tools.map(({ name }) => name));
  return agents.flatMap((slug, i) => {
    const tool = agentToolName(slug);
    const message =
      agents.indexOf(slug) < i
        ? `the agent ${slug} is listed twice`
        : names.has(tool)
          ? `the agent ${slug} is called by the tool name ${tool}, which one of the tools has`
          : tool.length > MAX_TOOL_NAME
            ? `the slug ${slug} is too long to be called: at most ${MAX_TOOL_NAME - "agent_".length} characters`
            : undefined;
    return message === undefined ? [] : [{ path: `agents[${i}]`, message }];
  });
}

/** Whom each agent's live version calls, by slug. */
export type CallGraph = ReadonlyMap<string, readonly string[]>;

/**
 * Whether an agent may call these (B1).
 *
 * @param known the slugs among `agents` that exist
 * @param live the graph of the live versions; the agent's own edges in it do not count
 */
export function callProblems(
  slug: string,
  agents: readonly string[],
  known: ReadonlySet<string>,
  live: CallGraph,
): FieldProblem[] {
  const others = new Map([...live].filter(([caller]) => caller !== slug));
  const above = longestTo(slug, others);
  return agents.flatMap((callee, i) => {
    const message = problemWith(slug, callee, known, others, above);
    return message === undefined ? [] : [{ path: `agents[${i}]`, message }];
  });
}

function problemWith(
  slug: string,
  callee: string,
  known: ReadonlySet<string>,
  others: CallGraph,
  above: readonly string[],
): string | undefined {
  if (callee === slug) return "an agent cannot call itself";
  if (!known.has(callee)) return `there is no agent ${callee}`;
  const cycle = pathTo(callee, slug, others);
  if (cycle !== undefined) return `the calls would go in a circle: ${[slug, ...cycle].join(" → ")}`;
  const chain = [...above, ...longestFrom(callee, others)];
  if (chain.length - 1 <= MAX_DEPTH) return undefined;
  return `the calls would be nested ${chain.length - 1} deep, at most ${MAX_DEPTH} are: ${chain.join(" → ")}`;
}

/** A way from one agent to another along their calls. */
function pathTo(from: string, to: string, graph: CallGraph, seen = new Set<string>()): string[] | undefined {
  if (from === to) return [from];
  if (seen.has(from)) return undefined;
  seen.add(from);
  for (const next of graph.get(from) ?? []) {
    const rest = pathTo(next, to, graph, seen);
    if (rest !== undefined) return [from, ...rest];
  }
  return undefined;
}

/** The longest chain of calls that begins at an agent, no longer than it takes to be refused. */
function longestFrom(slug: string, graph: CallGraph, room = MAX_DEPTH + 1): string[] {
  let longest: string[] = [];
  if (room > 0) {
    for (const next of graph.get(slug) ?? []) {
      const chain = longestFrom(next, graph, room - 1);
      if (chain.length > longest.length) longest = chain;
    }
  }
  return [slug, ...longest];
}

/** The longest chain of calls that ends at an agent. */
function longestTo(slug: string, graph: CallGraph): string[] {
  const callers = new Map<string, string[]>();
  for (const [caller, callees] of graph) {
    for (const callee of callees) callers.set(callee, [...(callers.get(callee) ?? []), caller]);
  }
  return longestFrom(slug, callers).reverse();
}
