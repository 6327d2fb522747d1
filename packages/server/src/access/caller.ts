/** Who is asking, known from a token. There is no null caller. */
import {
  type AgentId,
  type GroupId,
  type OrganizationId,
  type Role,
  type Scope,
  type TokenId,
  toUuid,
  type UserId,
} from "@callboard/protocol";
import type { TenantScope } from "../storage/index.ts";

export type Caller = {
  readonly organizationId: OrganizationId;
  readonly kind: "user" | "service";
  readonly tokenId: TokenId;
  /** The person behind a personal token; null for a service token. */
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
  /** `organizations.access_epoch` when this was read: a write under an older one is refused. */
  readonly epoch: number;
  /** Milliseconds since 1970 at which the token ends; null for never. */
  readonly expiresAtMs: number | null;
};

/** The id a caller's things are stored under: the person, or the service token. */
export const principalId = (caller: Caller): UserId | TokenId => caller.userId ?? caller.tokenId;

/** Whose rows a request of this caller may see in the database. */
export const scopeOf = (caller: Pick<Caller, "organizationId" | "userId" | "tokenId">): TenantScope => ({
  organization: toUuid(caller.organizationId),
  user: caller.userId === null ? null : toUuid(caller.userId),
  service: caller.userId === null ? toUuid(caller.tokenId) : null,
});
