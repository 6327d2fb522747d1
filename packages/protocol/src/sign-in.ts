/** Signing in: sessions, passwords, invitations, single sign-on. */
import { z } from "zod";
import { listOf, slug, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";
import { email, member, organization, role } from "./organization.ts";

/** Characters of a new password. */
export const PASSWORD_LENGTH = { min: 12, max: 256 } as const;
const newPassword = z.string().min(PASSWORD_LENGTH.min).max(PASSWORD_LENGTH.max);
/** One that was set before: whatever its length, the answer is the same. */
const givenPassword = z.string().min(1).max(1024);
const oneTimeToken = z.string().min(1).max(200);

// Sessions

export const session = z
  .object({
    id: idSchema("session"),
    user_id: idSchema("user"),
    organization_id: idSchema("organization"),
    method: z.enum(["password", "sso"]),
    /** The session of this very request. */
    current: z.boolean(),
    user_agent: z.string().nullable(),
    address: z.string().nullable(),
    created_at: timestamp,
    last_used_at: timestamp,
    /** When it ends at the latest; without use earlier. */
    expires_at: timestamp,
  })
  .meta({ id: "Session" });
export type Session = z.infer<typeof session>;
export const sessionList = listOf(session);

/** Who is signed in, where, and what state-changing requests must carry. */
export const signedIn = z
  .object({
    session,
    user: member,
    organization,
    /** The organizations that this session may change to. */
    organizations: z.array(z.object({ id: idSchema("organization"), name: z.string(), role })),
    /** For the header `X-CSRF-Token` of every request that is not a GET. */
    csrf_token: z.string(),
  })
  .meta({ id: "SignedIn" });
export type SignedIn = z.infer<typeof signedIn>;

export const signIn = z.strictObject({
  email: z.string().min(1).max(254),
  password: givenPassword,
  /** Which organization to begin in; absent: the one of the last session. */
  organization_id: idSchema("organization").optional(),
});
export type SignIn = z.output<typeof signIn>;

export const switchOrganization = z.strictObject({ organization_id: idSchema("organization") });

// Passwords

export const changePassword = z.strictObject({ old_password: givenPassword, new_password: newPassword });
export const resetPassword = z.strictObject({ token: oneTimeToken, password: newPassword });

export const createPasswordLink = z.strictObject({ user_id: idSchema("user") });
export const passwordLink = z
  .object({
    id: idSchema("passwordLink"),
    user_id: idSchema("user"),
    /** Shown once; hand it to the person. */
    url: z.string(),
    token: z.string(),
    expires_at: timestamp,
  })
  .meta({ id: "PasswordLink" });
export type PasswordLink = z.infer<typeof passwordLink>;

// Invitations

export const invitationStates = ["open", "accepted", "revoked", "expired"] as const;
export const invitation = z
  .object({
    id: idSchema("invitation"),
    email: z.string(),
    role,
    group_ids: z.array(idSchema("group")),
    state: z.enum(invitationStates),
    created_by: idSchema("user"),
    created_at: timestamp,
    expires_at: timestamp,
    accepted_at: timestamp.nullable(),
    accepted_by: idSchema("user").nullable(),
  })
  .meta({ id: "Invitation" });
export type Invitation = z.infer<typeof invitation>;
export const invitationList = listOf(invitation);

export const createInvitation = z.strictObject({
  email,
  role: role.default("member"),
  group_ids: z.array(idSchema("group")).max(100).default([]),
});
export type CreateInvitation = z.output<typeof createInvitation>;

export const createdInvitation = z
  .object({ invitation, /** Shown once; hand it to the person. */ url: z.string(), token: z.string() })
  .meta({ id: "CreatedInvitation" });
export type CreatedInvitation = z.infer<typeof createdInvitation>;

export const previewInvitation = z.strictObject({ token: oneTimeToken });
export const invitationPreview = z
  .object({
    organization: z.object({ id: idSchema("organization"), name: z.string() }),
    /** For whom it is. */
    email: z.string(),
    role,
    invited_by: z.object({ name: z.string() }),
    expires_at: timestamp,
  })
  .meta({ id: "InvitationPreview" });
export type InvitationPreview = z.infer<typeof invitationPreview>;

export const acceptInvitation = z.strictObject({
  token: oneTimeToken,
  /** Of a person the server does not know yet. */
  name: z.string().min(1).max(200).optional(),
  /** A new one; for somebody who has a password on this server, that one. */
  password: givenPassword,
});
export type AcceptInvitation = z.output<typeof acceptInvitation>;

// Single sign-on

const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/, "expected a domain like example.com");
const ssoFields = {
  name: z.string().min(1).max(200),
  /** The issuer's address, as its discovery document names it. */
  issuer: z.url({ protocol: /^https?$/ }).max(2000),
  client_id: z.string().min(1).max(500),
  /** Null for a client without one. */
  client_secret: z.string().min(1).max(4000).nullable(),
  /** Only people with a verified address there are let in. */
  email_domains: z.array(domain).min(1).max(100),
  /** Of people whom single sign-on brings in. */
  default_role: z.enum(["member", "guest"]),
  /** Whether people who are neither members nor invited become members. */
  provisioning: z.boolean(),
  /** The claim that names a person's groups at the issuer. */
  groups_claim: z.string().min(1).max(200).nullable(),
  /** Value of that claim → group. Membership of these groups follows the claim at each sign-in. */
  group_mapping: z.record(z.string().min(1).max(200), idSchema("group")),
  enabled: z.boolean(),
};

const { client_secret: _, ...shownFields } = ssoFields;
export const ssoConnection = z
  .object({
    id: idSchema("ssoConnection"),
    slug,
    ...shownFields,
    issuer: z.string(),
    email_domains: z.array(z.string()),
    /** Whether a client secret is stored. It is never returned. */
    has_secret: z.boolean(),
    /** To be registered at the issuer. */
    redirect_uri: z.string(),
    /** Where people begin. */
    start_url: z.string(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "SsoConnection" });
export type SsoConnection = z.infer<typeof ssoConnection>;
export const ssoConnectionList = listOf(ssoConnection);

export const createSsoConnection = z.strictObject({
  slug,
  ...ssoFields,
  client_secret: ssoFields.client_secret.default(null),
  default_role: ssoFields.default_role.default("member"),
  provisioning: ssoFields.provisioning.default(false),
  groups_claim: ssoFields.groups_claim.default(null),
  group_mapping: ssoFields.group_mapping.default({}),
  enabled: ssoFields.enabled.default(true),
});
export type CreateSsoConnection = z.output<typeof createSsoConnection>;
export const updateSsoConnection = z.strictObject(ssoFields).partial();
export type UpdateSsoConnection = z.output<typeof updateSsoConnection>;

/** A path of this site: `/threads?x=1`. */
export const returnPath = z
  .string()
  .max(2000)
  .regex(/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/, "expected a path on this site");
