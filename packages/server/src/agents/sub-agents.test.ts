import { type AgentConfigInput, agentConfig } from "@callboard/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { agentListProblems, agentToolName, agentToolSchema, callProblems, MAX_DEPTH } from "./sub-agents.ts";

const config = (more: Partial<AgentConfigInput>) => agentConfig.parse({ name: "A", ...more });
const messages = (problems: Array<{ path: string; message: string }>) => problems.map((p) => `${p.path}: ${p.message}`);

describe("the list of agents", () => {
  test("names each once, by a tool name that no tool has and every provider takes", () => {
    const agents = ["billing", "find-order", "billing", "a".repeat(59)];
    expect(messages(agentListProblems(config({ agents, tools: [{ name: "agent_find_order" }] })))).toEqual([
      "agents[1]: the agent find-order is called by the tool name agent_find_order, which one of the tools has",
      "agents[2]: the agent billing is listed twice",
      "agents[3]: the slug aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is too long to be called: at most 58 characters",
    ]);
    expect(agentListProblems(config({ agents: ["billing"] }))).toEqual([]);
  });

  test("gives two agents never one tool name", () => {
    const slug = fc.stringMatching(/^[a-z0-9]{1,4}(-[a-z0-9]{1,4}){0,3}$/);
    fc.assert(fc.property(slug, slug, (a, b) => a === b || agentToolName(a) !== agentToolName(b)));
  });
});

test("an agent's input is a message and its declared variables, without formats that providers do not know", () => {
  const variables: AgentConfigInput["variables"] = {
    PRODUCT: { schema: { type: "string", enum: ["a", "b"] }, default: "a" },
    LOCALE: { schema: { type: "string", format: "locale" } },
  };
  expect(agentToolSchema(config({ variables }))).toMatchObject({
    required: ["message"],
    additionalProperties: false,
    properties: {
      variables: {
        additionalProperties: false,
        properties: {
          PRODUCT: { type: "string", enum: ["a", "b"], default: "a" },
          LOCALE: { type: "string", description: "A language tag like en or de-CH." },
        },
      },
    },
  });
  expect(agentToolSchema(config({}))).not.toHaveProperty("properties.variables");
});

describe("whom an agent may call", () => {
  const graph = (edges: Record<string, string[]>) => new Map(Object.entries(edges));
  const known = new Set(["a", "b", "c", "d", "e"]);

  test.each<[string, string, string[], Record<string, string[]>, string[]]>([
    ["an agent that is there", "a", ["b"], {}, []],
    ["an agent that is not there", "a", ["b", "x"], {}, ["agents[1]: there is no agent x"]],
    ["itself", "a", ["a"], {}, ["agents[0]: an agent cannot call itself"]],
    ["one that calls back", "a", ["b"], { b: ["a"] }, ["agents[0]: the calls would go in a circle: a → b → a"]],
    [
      "one below which it is called",
      "a",
      ["b"],
      { b: ["c"], c: ["a"] },
      ["agents[0]: the calls would go in a circle: a → b → c → a"],
    ],
    ["three deep", "a", ["b"], { b: ["c"], c: ["d"] }, []],
    [
      "four deep",
      "a",
      ["b"],
      { b: ["c"], c: ["d"], d: ["e"] },
      ["agents[0]: the calls would be nested 4 deep, at most 3 are: a → b → c → d → e"],
    ],
    [
      "deep below others that call it",
      "b",
      ["c"],
      { a: ["b"], c: ["d"], d: ["e"] },
      ["agents[0]: the calls would be nested 4 deep, at most 3 are: a → b → c → d → e"],
    ],
    ["in the place of what it called before", "a", ["b"], { a: ["c"], c: ["d"], d: ["e"] }, []],
  ])("%s", (_what, slug, agents, live, problems) => {
    expect(messages(callProblems(slug, agents, known, graph(live)))).toEqual(problems);
  });

  test("however agents are published, no accepted one reaches itself or goes deeper than allowed (B1)", () => {
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    const publishing = fc.record({
      slug: fc.constantFrom(...names),
      agents: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(publishing, { maxLength: 40 }), (steps) => {
        const live = new Map<string, readonly string[]>();
        for (const { slug, agents } of steps) {
          const refused = callProblems(slug, agents, new Set(names), live).length > 0;
          const next = new Map(live).set(slug, agents);
          const longest = depthOf(next);
          // A refusal has a reason: what was refused would have broken the rule.
          if (refused) expect(longest).toBeGreaterThan(MAX_DEPTH);
          else {
            expect(longest).toBeLessThanOrEqual(MAX_DEPTH);
            live.set(slug, agents);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Calls in the longest chain, by trying them all; a circle is endless. */
function depthOf(graph: ReadonlyMap<string, readonly string[]>): number {
  const from = (slug: string, above: ReadonlySet<string>): number => {
    if (above.has(slug)) return Number.POSITIVE_INFINITY;
    const below = (graph.get(slug) ?? []).map((next) => 1 + from(next, new Set([...above, slug])));
    return Math.max(0, ...below);
  };
  return Math.max(0, ...[...graph.keys()].map((slug) => from(slug, new Set())));
}
