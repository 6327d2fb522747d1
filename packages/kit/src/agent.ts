/** Agents in files. */
import type {
  AccessMode,
  AgentConfigInput,
  Json,
  ToolPolicyInput,
  VariableSchema,
  VariableValue,
} from "@callboard/protocol";
import { answerSchema, type OutputOf, type StandardSchema } from "./schema.ts";

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;

/** Variables by name, as `defineAgent` takes them. */
export type VariableDeclarations = {
  readonly [name: string]: { readonly schema: Frozen<VariableSchema>; readonly default?: VariableValue };
};

type ValueOf<Schema> = Schema extends { type: "string"; enum: ReadonlyArray<infer Choice> }
  ? Choice
  : Schema extends { type: "string" }
    ? string
    : Schema extends { type: "boolean" }
      ? boolean
      : number;

/** What a caller may give an agent with these declarations. What is left out takes its default. */
export type VariablesOf<Declared extends VariableDeclarations> = [keyof Declared] extends [never]
  ? { [name: string]: never } // `{}` would take anything
  : { [Name in keyof Declared]?: ValueOf<Declared[Name]["schema"]> };

export type AgentDefinition<Declared extends VariableDeclarations = VariableDeclarations> = Omit<
  AgentConfigInput,
  "tools" | "variables"
> & {
  variables?: Declared;
  /** Names of tools, or a tool with its approval policy. */
  tools?: Array<string | ToolPolicyInput>;
  access_mode?: AccessMode;
  api_access?: boolean;
};

declare const types: unique symbol;

/**
 * What `defineAgent` makes. Endpoints name the agent they run by it, which types the variables they give
 * and the output they get.
 */
export type AgentFile<Variables = Record<string, VariableValue>, Output = unknown> = {
  readonly kind: "agent";
  readonly definition: AgentDefinition;
  /** The schema given as `output`; absent without one. */
  readonly output?: StandardSchema<unknown, Output>;
  /** Only for the compiler. */
  readonly [types]?: { variables: Variables; output: Output };
};

/**
 * An agent by its slug, with the types that `callboard generate` found on a server: for agents that have no file here.
 * A plain object, so that the generated file imports nothing.
 */
export type AgentRef<Variables = Record<string, VariableValue>, Output = unknown> = {
  readonly slug: string;
  /** Only for the compiler. */
  readonly types?: { readonly variables: Variables; readonly output: Output };
};

/** An agent; the default export of `agents/<slug>.ts`. The file's name is the agent's slug. */
export function defineAgent<const Declared extends VariableDeclarations = Record<never, never>>(
  definition: Omit<AgentDefinition<Declared>, "output_schema">,
): AgentFile<VariablesOf<Declared>, string>;
/** An agent whose answers fit a JSON Schema, which says nothing to the compiler. */
export function defineAgent<const Declared extends VariableDeclarations = Record<never, never>>(
  definition: AgentDefinition<Declared>,
): AgentFile<VariablesOf<Declared>, Json>;
/**
 * An agent whose answers fit a schema.
 *
 * @throws when the schema cannot be shown as JSON Schema; use `output_schema` then
 */
export function defineAgent<const Declared extends VariableDeclarations, Output extends StandardSchema>(
  definition: Omit<AgentDefinition<Declared>, "output_schema"> & { output: Output },
): AgentFile<VariablesOf<Declared>, OutputOf<Output>>;
export function defineAgent({
  output,
  ...definition
}: AgentDefinition & { output?: StandardSchema }): AgentFile<never, never> {
  if (output === undefined) return { kind: "agent", definition };
  const output_schema = answerSchema(output) as NonNullable<AgentDefinition["output_schema"]>;
  return {
    kind: "agent",
    definition: { ...definition, output_schema },
    output: output as StandardSchema<unknown, never>,
  };
}
