/** What a server has, as one file of TypeScript: the text of `callboard.gen.ts`. */
import type { AgentConfig, ModelConnection, ToolInfo } from "@callboard/client";
import { NamedTypes, toTypeScript } from "./json-schema.ts";
import { comment, propertyName, quoted } from "./literal.ts";
import type { DescribedEndpoint } from "./openapi.ts";

export type Described = {
  /** Those with a live version. */
  agents: readonly { slug: string; live: AgentConfig }[];
  tools: readonly Pick<ToolInfo, "name" | "description">[];
  models: readonly Pick<ModelConnection, "slug">[];
  endpoints: readonly DescribedEndpoint[];
};

const HEAD = `// Written by \`callboard generate\`. Run it again when agents, tools, models or endpoints have changed.

type AgentRef<Variables, Output> = {
  readonly slug: string;
  /** Only for the compiler. */
  readonly types?: { readonly variables: Variables; readonly output: Output };
};
type EndpointRef<Input, Output> = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** Only for the compiler. */
  readonly types?: { readonly input: Input; readonly output: Output };
};
`;

/** @returns the same text for the same server, whatever the order of the lists */
export function typedHelpers({ agents, tools, models, endpoints }: Described): string {
  const names = new NamedTypes(["AgentRef", "EndpointRef"]);
  const bySlug = <T extends { slug: string }>(list: readonly T[]) =>
    list.toSorted((a, b) => (a.slug < b.slug ? -1 : 1));
  const byName = <T extends { name: string }>(list: readonly T[]) =>
    list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const blocks = [
    block(
      "agents",
      "Live agents: `runAgent(agents[…], { message, variables })` in an endpoint, `agents[…].slug` elsewhere.",
      bySlug(agents).map((agent) => agentEntry(agent, names)),
    ),
    block(
      "tools",
      "Tools that agents may be given.",
      byName(tools).map(({ name, description }) => entry(description, name, quoted(name))),
    ),
    block(
      "models",
      "Model connections.",
      bySlug(models).map(({ slug }) => entry("", slug, quoted(slug))),
    ),
    block(
      "endpoints",
      "Endpoints: `client.endpoints.call(endpoints[…], input)`.",
      byName(endpoints).map((endpoint) => endpointEntry(endpoint, names)),
    ),
  ];
  const declared = names.source;
  return `${HEAD}${declared === "" ? "" : `\n${declared}`}\n${blocks.join("\n")}`;
}

const block = (name: string, about: string, entries: readonly string[]): string =>
  `${comment(about)}export const ${name} = {${entries.length === 0 ? "" : `\n${entries.join("")}`}} as const;\n`;

const entry = (about: string, key: string, value: string): string =>
  `${comment(about, "  ")}  ${propertyName(key)}: ${value},\n`;

function agentEntry({ slug, live }: Described["agents"][number], names: NamedTypes): string {
  const { name, description, variables, output_schema: output } = live;
  const given = toTypeScript(variablesSchema(variables), names, `${slug}-variables`, "  ");
  const answer = output === undefined ? "string" : toTypeScript(output, names, `${slug}-output`, "  ");
  const about = description === "" ? name : `${name}: ${description}`;
  return entry(about, slug, `{ slug: ${quoted(slug)} } as AgentRef<${given}, ${answer}>`);
}

/** What a caller may give: what is left out takes its default. */
function variablesSchema(variables: AgentConfig["variables"]): object {
  const properties = Object.fromEntries(Object.entries(variables).map(([name, { schema }]) => [name, schema]));
  return { type: "object", properties, additionalProperties: false };
}

function endpointEntry(endpoint: DescribedEndpoint, names: NamedTypes): string {
  const { name, summary, method, parts, input, output, document } = endpoint;
  const given = toTypeScript(input, names, `${name}-input`, "  ", document);
  const answer = toTypeScript(output, names, `${name}-output`, "  ", document);
  const type = `EndpointRef<${given}, ${answer}>`;
  const params = parts.flatMap((part) => ("param" in part ? [part.param] : []));
  if (params.length === 0) {
    const path = parts.map((part) => ("literal" in part ? part.literal : "")).join("/");
    return entry(summary, name, `{ method: ${quoted(method)}, path: ${quoted(path)} } as ${type}`);
  }
  const path = parts.map((part) =>
    "literal" in part ? part.literal : `\${encodeURIComponent(params${member(part.param)})}`,
  );
  const wanted = params.map((param) => `${propertyName(param)}: string`).join("; ");
  const made = `{ method: ${quoted(method)}, path: \`${path.join("/")}\` }`;
  return entry(summary, name, `(params: { ${wanted} }) =>\n    (${made}) as ${type}`);
}

const member = (name: string): string => (propertyName(name) === name ? `.${name}` : `[${quoted(name)}]`);
