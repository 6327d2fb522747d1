/** Who is asking, known from a token or a session. There is no null caller. */
import {
  type AgentId,
  type GroupId,
  type OrganizationId,
  type Role,
  type Scope,
  type SessionId,
  type TokenId,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import type { TenantScope } from "../storage/index.ts";

/** What proved a caller: a session is a person's, like a personal token with every scope. */
export type CredentialId = TokenId | SessionId;

export type Caller = {
  readonly organizationId: OrganizationId;
  readonly kind: "user" | "service";
  readonly tokenId: CredentialId;
  /** Present for a session. */
  readonly session?: { readonly id: SessionId; readonly method: "password" | "sso" };
  /** Which of a token's secrets was shown: what an older one opened ends with it. Absent where none was shown. */
  readonly secretVersion?: number;
  /** The person behind a personal token or a session; null for a service token. */
  readonly userId: UserId | null;
  readonly email: string | null;
  /** The person's role; null for a service token. */
  readonly role: Role | null;
  readonly groups: ReadonlyArray<{ readonly id: GroupId; readonly slug: string }>;
  readonly scopes: ReadonlySet<Scope>;
  /** The agents a service token may call; null for a person. */
  readonly agentIds: ReadonlySet<AgentId> | null;
  readonly mayAttribute: boolean;
  /** Whether the organization lets members create and edit agents. */
  readonly membersEditAgents: boolean;
  /** Whether the organization allows runs without a saved agent. */
  readonly rawRuns: boolean;
  readonly limits: CallerLimits;
  /** `organizations.access_epoch` when this was read: a write under an older one is refused. */
  readonly epoch: number;
  /** Milliseconds since 1970 at which the token or session ends; null for never. */
  readonly expiresAtMs: number | null;
};

/** What the token and its organization were given; null takes the server's default. */
export type CallerLimits = {
  /** Of the token. */
  readonly requestsPerMinute: number | null;
  readonly organizationRequestsPerMinute: number | null;
  /** Runs of the organization that are queued or running at once. */
  readonly runsAtOnce: number | null;
};

/** The id a caller's things are stored under: the person, or the service token. */
export const principalId = (caller: Caller): UserId | TokenId => caller.userId ?? (caller.tokenId as TokenId);

/** Whose rows a request of this caller may see in the database. */
export const scopeOf = (caller: Pick<Caller, "organizationId" | "userId" | "tokenId">): TenantScope => ({
  organization: toUuid(caller.organizationId),
  user: caller.userId === null ? null : toUuid(caller.userId),
  service: caller.userId === null ? toUuid(caller.tokenId) : null,
});
