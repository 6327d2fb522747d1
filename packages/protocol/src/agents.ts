/** Agents, their drafts and their versions. */
import { z } from "zod";
import { approvalPolicy, approvals } from "./approvals.ts";
import { json, jsonObject, listOf, slug, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";

/** `${NAME}` in instructions. */
export const variableName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,63}$/, "expected upper-case letters, digits and _, like PRODUCT_NAME");

const described = { description: z.string().max(500).optional() };

/** The JSON Schemas a variable may be declared with. `format: "locale"` is a BCP 47 language tag. */
export const variableSchema = z.union([
  z.strictObject({
    type: z.literal("string"),
    enum: z.array(z.string().max(500)).min(1).max(200).optional(),
    pattern: z.string().max(200).optional(),
    format: z.enum(["locale"]).optional(),
    minLength: z.number().int().min(0).optional(),
    maxLength: z.number().int().min(0).max(32_768).optional(),
    ...described,
  }),
  z.strictObject({ type: z.literal("boolean"), ...described }),
  z.strictObject({
    type: z.enum(["number", "integer"]),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
    ...described,
  }),
]);
export type VariableSchema = z.infer<typeof variableSchema>;

export const variableValue = z.union([z.string(), z.number(), z.boolean()]);
export type VariableValue = z.infer<typeof variableValue>;

export const variableDeclaration = z.strictObject({
  schema: variableSchema,
  /** Used when a caller leaves the variable out and the placeholder names no default of its own. */
  default: variableValue.optional(),
});
export type VariableDeclaration = z.infer<typeof variableDeclaration>;

export const toolName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/, "expected lower-case letters, digits and _, like search_tickets");

export const toolPolicy = z.strictObject({
  name: toolName,
  /** The stricter of this and what the tool itself asks for counts. */
  approval: approvalPolicy.default("never"),
});
export type ToolPolicyInput = z.input<typeof toolPolicy>;

/** What follows a `once` call whose outcome a crash hid. */
export const unknownOutcome = z.enum(["ask", "tell_model", "fail"]);

export const limits = z.strictObject({
  /** Running time in milliseconds; waiting does not count. */
  timeout_ms: z.number().int().min(1000).max(3_600_000).default(300_000),
  /** Model calls in one run. */
  max_steps: z.number().int().min(1).max(200).default(32),
  /** Input and output tokens of all model calls of one run. */
  max_tokens: z.number().int().min(1).max(10_000_000).optional(),
  /** Output tokens of one model call. */
  max_output_tokens: z.number().int().min(1).max(1_000_000).optional(),
  /** Micro-dollars of one run. */
  max_cost_micros: z.number().int().min(0).optional(),
  /** How long a permission request stays open, in milliseconds. */
  permission_timeout_ms: z.number().int().min(1000).max(2_592_000_000).default(86_400_000),
});

export const modelChoice = z.strictObject({
  /** Slug of a model connection; absent means the organization's default. */
  connection: slug.optional(),
  /** The provider's name for the model; absent means the connection's default. */
  id: z.string().min(1).max(200).optional(),
  /** Slugs of connections tried in this order when the first one cannot answer. */
  fallbacks: z.array(slug).max(8).optional(),
});

/** What a version freezes. */
export const agentConfig = z.strictObject({
  name: z.string().min(1).max(120),
  description: z.string().max(2000).default(""),
  icon: z.string().max(64).optional(),
  model: modelChoice.prefault({}),
  instructions: z.string().max(200_000).default(""),
  variables: z.record(variableName, variableDeclaration).default({}),
  tools: z.array(toolPolicy).max(128).default([]),
  /** Slugs of the agents it may call; the model sees each as a tool `agent_<slug>`, with `_` for `-`. */
  agents: z.array(slug).max(16).default([]),
  approvals: approvals.prefault({}),
  unknown_outcome: unknownOutcome.default("tell_model"),
  output_schema: jsonObject.optional(),
  limits: limits.prefault({}),
});
export type AgentConfig = z.output<typeof agentConfig>;
export type AgentConfigInput = z.input<typeof agentConfig>;

type Undefaulted<S extends z.ZodRawShape> = {
  [K in keyof S]: z.ZodOptional<
    S[K] extends z.ZodDefault<infer T> | z.ZodPrefault<infer T> | z.ZodOptional<infer T> ? T : S[K]
  >;
};
/** The same fields, each of which may be left out: then somebody else decides it. */
function undefaulted<S extends z.ZodRawShape>(shape: S): z.ZodObject<Undefaulted<S>, z.core.$strict> {
  const fields = Object.entries(shape).map(([name, field]) => {
    const hasDefault =
      field instanceof z.ZodDefault || field instanceof z.ZodPrefault || field instanceof z.ZodOptional;
    return [name, z.optional(hasDefault ? field.unwrap() : field)];
  });
  return z.strictObject(Object.fromEntries(fields)) as unknown as z.ZodObject<Undefaulted<S>, z.core.$strict>;
}
/** What a run without a saved agent works under; what is left out comes from an agent that is named, or is the default. */
export const rawConfig = undefaulted(
  agentConfig.omit({ name: true, variables: true, icon: true, description: true, agents: true }).shape,
);
export type RawConfig = z.output<typeof rawConfig>;

export const accessMode = z.enum(["organization", "invited"]);
export type AccessMode = z.infer<typeof accessMode>;

export const agent = z
  .object({
    id: idSchema("agent"),
    slug,
    owner_id: idSchema("user"),
    access_mode: accessMode,
    api_access: z.boolean(),
    live_version: z.number().int().nullable(),
    latest_version: z.number().int(),
    draft: agentConfig,
    /** Another one after each change of the agent; `If-Match` asks for it. */
    revision: z.string(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Agent" });
export type Agent = z.infer<typeof agent>;

export const agentVersion = z
  .object({
    agent_id: idSchema("agent"),
    version: z.number().int(),
    config: agentConfig,
    live: z.boolean(),
    published_by: idSchema("user").nullable(),
    published_at: timestamp,
  })
  .meta({ id: "AgentVersion" });
export type AgentVersion = z.infer<typeof agentVersion>;

export const agentChange = z.object({
  path: z.string(),
  before: json.optional(),
  after: json.optional(),
});
export const agentDiff = z
  .object({ from: z.string(), to: z.string(), changes: z.array(agentChange) })
  .meta({ id: "AgentDiff" });
export type AgentDiff = z.infer<typeof agentDiff>;

export const createAgent = z.strictObject({
  slug,
  draft: agentConfig,
  access_mode: accessMode.default("organization"),
  api_access: z.boolean().default(true),
});
export type CreateAgent = z.output<typeof createAgent>;

export const updateAgent = z.strictObject({
  slug: slug.optional(),
  draft: agentConfig.optional(),
  access_mode: accessMode.optional(),
  api_access: z.boolean().optional(),
  owner_id: idSchema("user").optional(),
});
export type UpdateAgent = z.output<typeof updateAgent>;

/** Who may use an agent in mode `invited`, beside its owner. */
export const agentAccess = z
  .strictObject({ users: z.array(idSchema("user")).max(1000), groups: z.array(idSchema("group")).max(1000) })
  .meta({ id: "AgentAccess" });
export type AgentAccess = z.infer<typeof agentAccess>;

export const agentList = listOf(agent);
export const agentVersionList = listOf(agentVersion);
