/**
 * What a run may still do: the caller's rights of this moment, and never more than it was accepted with.
 *
 *   runs.principal ∩ the token's caller now ∩ may that caller call this agent now  ─▶ standing, or access_revoked
 *
 * A1  Asked before each model call, before each tool call, and again when a run is taken up after a crash, a
 *     hand-over or a person's answer.
 * A2  A standing is true for one access epoch; the commit that begins tool calls checks that epoch (runs C5).
 * A3  What a caller gained after the run was accepted does not count; what it lost counts at once.
 */
import { type AgentId, CallboardError, fromUuid, type Scope } from "@callboard/protocol";
import {
  type Authenticator,
  attributeTo,
  type Caller,
  callAgent,
  callSubAgent,
  findPerson,
  rawRun,
} from "../access/index.ts";
import type { AgentDirectory } from "../agents/index.ts";
import type { Principal, RunRow } from "../runs/index.ts";
import type { Sql } from "../storage/index.ts";
import { RunFailure } from "./stop.ts";

/** Rights of a run at one access epoch. */
export type Standing = {
  readonly epoch: number;
  readonly scopes: ReadonlySet<Scope>;
  /** Slugs of the groups of the person the run works for. */
  readonly groups: readonly string[];
};

export type Authority = {
  /**
   * @param fresh reads anew, for what happens seldom; otherwise what is remembered may be a second old, and is
   *   dropped at once when access changes
   * @throws RunFailure access_revoked
   */
  standing(
    row: Pick<RunRow, "organization_id" | "agent_id" | "trigger" | "principal">,
    fresh?: boolean,
  ): Promise<Standing>;
};

export type AuthorityOptions = {
  sql: Sql;
  authenticator: Pick<Authenticator, "callerOf">;
  agents: Pick<AgentDirectory, "factsAt">;
};

export function createAuthority({ sql, authenticator, agents }: AuthorityOptions): Authority {
  type Asked = { caller: Caller; agentId: AgentId | null; trigger: RunRow["trigger"]; principal: Principal };

  /** The person a service works for, as that person stands now. */
  async function attributedGroups({ caller, agentId, principal }: Asked, facts: Facts): Promise<readonly string[]> {
    if (caller.kind === "user" || principal.userId === null || agentId === null || facts === undefined) {
      return caller.groups.map(({ slug }) => slug);
    }
    const person = await findPerson(sql, caller.organizationId, principal.userId);
    attributeTo(caller, person, facts);
    return person?.groups ?? [];
  }

  type Facts = Awaited<ReturnType<AgentDirectory["factsAt"]>>["facts"];
  /** @returns undefined when the caller is older than the agent's facts */
  async function decide(asked: Asked): Promise<Standing | undefined> {
    const { caller, agentId, trigger, principal } = asked;
    let facts: Facts;
    if (trigger === "raw") rawRun(caller);
    if (agentId !== null) {
      const found = await agents.factsAt(caller, agentId);
      if (found.epoch > caller.epoch) return undefined;
      facts = found.facts;
      // Whom another run calls need not be open to the public API.
      if (trigger === "agent") callSubAgent(caller, null, facts);
      else callAgent(caller, facts);
    }
    const groups = new Set(await attributedGroups(asked, facts));
    return {
      epoch: caller.epoch,
      scopes: new Set(principal.scopes.filter((scope) => caller.scopes.has(scope))),
      groups: principal.groups.filter((slug) => groups.has(slug)),
    };
  }

  return {
    async standing({ organization_id, agent_id, trigger, principal }, fresh = false) {
      const agentId = agent_id === null ? null : fromUuid("agent", agent_id);
      const token = { organizationId: fromUuid("organization", organization_id), tokenId: principal.tokenId };
      try {
        for (let again = fresh; ; again = true) {
          const caller = await authenticator.callerOf(token, again);
          const standing = await decide({ caller, agentId, trigger, principal });
          if (standing !== undefined) return standing;
        }
      } catch (error) {
        // The database being away is no answer to the question: the run waits for it elsewhere.
        if (!(error instanceof CallboardError) || error.status >= 500) throw error;
        throw new RunFailure("access_revoked", `the run may not go on: ${error.message}`);
      }
    },
  };
}
