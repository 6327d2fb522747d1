/** Who is asking, known from a token. There is no null caller. */
import type { AgentId, GroupId, OrganizationId, Role, Scope, TokenId, UserId } from "@callboard/protocol";

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
