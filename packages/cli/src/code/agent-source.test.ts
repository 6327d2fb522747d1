// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these texts are meant as they are
/** What is exported is read back as it was, for any configuration that a server takes. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { agentConfig, type CreateAgent, createAgent } from "@callboard/protocol";
import { loadAgents } from "@callboard/server";
import fc from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { projectFolder, put } from "../testing/project.ts";
import { typeProblems } from "../testing/tsc.ts";
import { agentSource } from "./agent-source.ts";

type Schema = { [keyword: string]: unknown };

const nasty = [
  "`",
  "${X}",
  "\\",
  '"',
  "'",
  "*/",
  "\u2028",
  "\u0000",
  "👩‍👩‍👧",
  "\r\n",
  "\n",
  "</script>",
  "\u202e",
  "__proto__",
];
const text = fc.string({ unit: fc.oneof(fc.constantFrom(...nasty), fc.string({ minLength: 1, maxLength: 1 })) });

/** Values for a schema, made from it: a field that configurations get later is tried as well. */
function anyOf(schema: Schema, root: Schema): fc.Arbitrary<unknown> {
  if (typeof schema.$ref === "string") return fc.jsonValue({ maxDepth: 2 });
  if ("const" in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...(schema.enum as unknown[]));
  for (const list of [schema.anyOf, schema.oneOf]) {
    if (Array.isArray(list)) return fc.oneof(...list.map((each) => anyOf(each, root)));
  }
  switch (schema.type) {
    case "string":
      return typeof schema.pattern === "string" ? fc.stringMatching(new RegExp(schema.pattern)) : text;
    case "integer":
    case "number": {
      const { minimum: min = -1000, maximum: max = 1e6 } = schema as { minimum?: number; maximum?: number };
      return fc.integer({ min: Math.max(min, -1e6), max: Math.min(max, 1e6) });
    }
    case "boolean":
      return fc.boolean();
    case "array":
      return fc.array(anyOf(schema.items as Schema, root), { minLength: Number(schema.minItems ?? 0), maxLength: 3 });
    case "object": {
      const { properties, required = [], propertyNames, additionalProperties } = schema;
      if (properties === undefined) {
        const key = propertyNames === undefined ? text : anyOf(propertyNames as Schema, root);
        const value =
          typeof additionalProperties === "object" ? anyOf(additionalProperties as Schema, root) : fc.jsonValue();
        return fc.dictionary(key as fc.Arbitrary<string>, value, { maxKeys: 3, noNullPrototype: true });
      }
      const fields = Object.entries(properties as object).map(
        ([name, each]) => [name, anyOf(each as Schema, root)] as const,
      );
      const requiredKeys = required as string[];
      return fc.record(Object.fromEntries(fields), { requiredKeys, noNullPrototype: true });
    }
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

const schema = z.toJSONSchema(createAgent, { io: "input", unrepresentable: "any" }) as Schema;
const agents = fc
  .sample(anyOf(schema, schema), { numRuns: 1000, seed: 7 })
  .map((value, i) => ({ ...(value as object), slug: `agent-${i}` }))
  .flatMap((value): CreateAgent[] => {
    const parsed = createAgent.safeParse(value);
    return parsed.success ? [parsed.data] : [];
  });

test("agents of every kind are read back as they were", { timeout: 600_000 }, async () => {
  expect(agents.length).toBeGreaterThan(100);
  const folder = await projectFolder();
  for (const agent of agents) await put(folder, `agents/${agent.slug}.ts`, agentSource(agent));
  const back = await loadAgents(folder);
  expect(back.map(({ slug }) => slug).sort()).toEqual(agents.map(({ slug }) => slug).sort());
  for (const agent of agents) {
    const read = back.find(({ slug }) => slug === agent.slug) as CreateAgent;
    expect(JSON.parse(JSON.stringify(read))).toEqual(JSON.parse(JSON.stringify(agent)));
    expect(agentSource(read)).toBe(agentSource(agent));
  }
  await rm(join(folder, "agents"), { recursive: true });
  for (const agent of agents.slice(0, 40)) await put(folder, `agents/${agent.slug}.ts`, agentSource(agent));
  expect(await typeProblems(folder)).toEqual([]);
});

test("what is the default is left out, and a tool without more is its name", () => {
  const tools = [{ name: "search" }, { name: "refund", approval: "always" }];
  const agent = createAgent.parse({
    slug: "desk",
    draft: { name: "Desk", instructions: "Be kind.\nBe `short`.", tools, limits: { max_steps: 5 } },
    api_access: false,
  });
  expect(agentSource(agent)).toBe(`import { defineAgent } from "@callboard/kit";

export default defineAgent({
  name: "Desk",
  instructions: \`Be kind.
Be \\\`short\\\`.\`,
  tools: ["search", { name: "refund", approval: "always" }],
  limits: { max_steps: 5 },
  api_access: false,
});
`);
  expect(agentConfig.parse(agent.draft)).toEqual(agent.draft);
});
