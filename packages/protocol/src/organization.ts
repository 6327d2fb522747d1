/** Organizations, people, groups, tokens, model connections, audit. */
import { z } from "zod";
import { json, listOf, slug, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";

export const role = z.enum(["owner", "admin", "member", "guest"]);
export type Role = z.infer<typeof role>;

/** At most so many; a column of the database holds it. */
const limit = z.number().int().min(1).max(2_000_000_000);

export const organization = z
  .object({
    id: idSchema("organization"),
    name: z.string(),
    /** Members may create and edit agents. */
    members_edit_agents: z.boolean(),
    /** Callers with the scope `runs:raw` may start runs without a saved agent. */
    raw_runs: z.boolean(),
    /** Requests a minute of all its tokens together; null for the server's default. */
    requests_per_minute: limit.nullable(),
    /** Runs that are queued or running at once; null for the server's default. */
    runs_at_once: limit.nullable(),
    created_at: timestamp,
  })
  .meta({ id: "Organization" });
export type Organization = z.infer<typeof organization>;

export const updateOrganization = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  members_edit_agents: z.boolean().optional(),
  raw_runs: z.boolean().optional(),
  requests_per_minute: limit.nullable().optional(),
  runs_at_once: limit.nullable().optional(),
});

export const email = z.email().max(254);

export const member = z
  .object({
    user_id: idSchema("user"),
    email: z.string(),
    name: z.string(),
    role,
    /** A suspended member keeps the place but may do nothing. */
    suspended: z.boolean(),
    created_at: timestamp,
  })
  .meta({ id: "Member" });
export type Member = z.infer<typeof member>;

export const addMember = z.strictObject({ email, name: z.string().min(1).max(200), role: role.default("member") });
export const updateMember = z.strictObject({ role: role.optional(), suspended: z.boolean().optional() });

export const group = z
  .object({ id: idSchema("group"), slug, name: z.string(), user_ids: z.array(idSchema("user")), created_at: timestamp })
  .meta({ id: "Group" });
export type Group = z.infer<typeof group>;
export const createGroup = z.strictObject({
  slug,
  name: z.string().min(1).max(200),
  user_ids: z.array(idSchema("user")).max(1000).default([]),
});
export const updateGroup = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  user_ids: z.array(idSchema("user")).max(1000).optional(),
});

// Tokens

export const scopes = [
  "agents:read",
  "agents:write",
  "threads:read",
  "threads:write",
  "transcripts:read",
  "documents:read",
  "documents:write",
  "runs:raw",
  "members:read",
  "members:write",
  "tokens:write",
  "models:read",
  "models:write",
  "organization:write",
  "audit:read",
  "usage:read",
  "budgets:write",
] as const;
export const scope = z.enum(scopes);
export type Scope = z.infer<typeof scope>;

export const token = z
  .object({
    id: idSchema("token"),
    kind: z.enum(["personal", "service"]),
    label: z.string(),
    /** The user a personal token acts as. */
    user_id: idSchema("user").nullable(),
    /** First characters of the secret, to recognise it. */
    prefix: z.string(),
    scopes: z.array(scope),
    /** The agents a service token may call. */
    agent_ids: z.array(idSchema("agent")),
    may_attribute: z.boolean(),
    /** Requests a minute; null for the server's default. */
    requests_per_minute: limit.nullable(),
    created_at: timestamp,
    expires_at: timestamp.nullable(),
    last_used_at: timestamp.nullable(),
    /** When its secret was last replaced. */
    rotated_at: timestamp.nullable(),
    /** Until when the secret before that one is still taken; null when it is not. */
    previous_secret_until: timestamp.nullable(),
    revoked_at: timestamp.nullable(),
  })
  .meta({ id: "Token" });
export type Token = z.infer<typeof token>;

export const createToken = z.strictObject({
  kind: z.enum(["personal", "service"]).default("personal"),
  label: z.string().min(1).max(200),
  /** Absent: everything the kind usually needs; never more than the creator's own. */
  scopes: z.array(scope).max(scopes.length).optional(),
  agent_ids: z.array(idSchema("agent")).max(1000).optional(),
  may_attribute: z.boolean().optional(),
  /** Requests a minute; absent and null take the server's default. */
  requests_per_minute: limit.nullable().optional(),
  /** Days until it expires; null for never. Absent: 90, or the time that the token which makes it has left. */
  expires_in_days: z.number().int().min(1).max(3650).nullable().optional().meta({ default: 90 }),
});
export type CreateToken = z.output<typeof createToken>;

export const updateToken = z.strictObject({
  label: z.string().min(1).max(200).optional(),
  /** Replaces the scopes; only ones that the token has. */
  scopes: z.array(scope).max(scopes.length).optional(),
  /** Replaces the agents a service token may call. */
  agent_ids: z.array(idSchema("agent")).max(1000).optional(),
  may_attribute: z.boolean().optional(),
});
export type UpdateToken = z.output<typeof updateToken>;

/** Longest time for which the secret before a rotation may go on, in seconds. */
export const MAX_OVERLAP_SECONDS = 86_400;
export const rotateToken = z.strictObject({
  /** How long the old secret is still taken. */
  overlap_seconds: z.number().int().min(0).max(MAX_OVERLAP_SECONDS).default(0),
  /** Days until it expires, null for never; absent: as long from now as it was given at first. */
  expires_in_days: z.number().int().min(1).max(3650).nullable().optional(),
});
export type RotateToken = z.output<typeof rotateToken>;

export const createdToken = z.object({ token, /** Shown once. */ secret: z.string() }).meta({ id: "CreatedToken" });
export type CreatedToken = z.infer<typeof createdToken>;

export const me = z
  .object({
    organization,
    kind: z.enum(["user", "service"]),
    user: member.nullable(),
    /** Null when a session asks. */
    token_id: idSchema("token").nullable(),
    session_id: idSchema("session").nullable(),
    scopes: z.array(scope),
  })
  .meta({ id: "Me" });
export type Me = z.infer<typeof me>;

// Model connections

export const modelKind = z.enum(["openai", "anthropic", "google", "openai-compatible", "demo"]);
export type ModelKind = z.infer<typeof modelKind>;

export const modelConnection = z
  .object({
    id: idSchema("modelConnection"),
    slug,
    kind: modelKind,
    base_url: z.string().nullable(),
    default_model: z.string().nullable(),
    /** Whether a key is stored. The key itself is never returned. */
    has_key: z.boolean(),
    /** The organization's default connection. */
    is_default: z.boolean(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "ModelConnection" });
export type ModelConnection = z.infer<typeof modelConnection>;

const connectionFields = {
  base_url: z
    .url({ protocol: /^https?$/ })
    .max(2000)
    .nullable(),
  default_model: z.string().min(1).max(200).nullable(),
  api_key: z.string().min(1).max(4000).nullable(),
  is_default: z.boolean(),
};
export const createModelConnection = z
  .strictObject({
    slug,
    kind: modelKind,
    base_url: connectionFields.base_url.optional(),
    default_model: connectionFields.default_model.optional(),
    api_key: connectionFields.api_key.optional(),
    is_default: connectionFields.is_default.default(false),
  })
  .refine((body) => body.kind !== "openai-compatible" || body.base_url != null, {
    message: "expected an address for kind openai-compatible",
    path: ["base_url"],
  });
export type CreateModelConnection = z.output<typeof createModelConnection>;
export const updateModelConnection = z.strictObject({
  base_url: connectionFields.base_url.optional(),
  default_model: connectionFields.default_model.optional(),
  api_key: connectionFields.api_key.optional(),
  is_default: connectionFields.is_default.optional(),
});
export type UpdateModelConnection = z.output<typeof updateModelConnection>;

// Tools that the server offers to agents

export const toolInfo = z
  .object({
    name: z.string(),
    description: z.string(),
    effect: z.enum(["read", "idempotent", "once"]),
    sensitive: z.boolean(),
    input_schema: z.record(z.string(), json),
  })
  .meta({ id: "Tool" });
export type ToolInfo = z.infer<typeof toolInfo>;

export const memberList = listOf(member);
export const groupList = listOf(group);
export const tokenList = listOf(token);
export const modelConnectionList = listOf(modelConnection);
export const toolList = listOf(toolInfo);
