/**
 * The agents that callers call: the hot path of every new thread.
 *
 * Facts are remembered per organization for as long as its access epoch stands; versions for as long as
 * there is room, since they never change.
 */
import { type AgentConfig, type AgentId, CallboardError, type OrganizationId } from "@callboard/protocol";
import {
  type AccessWakes,
  type AgentFacts,
  type Caller,
  callAgent,
  callSubAgent,
  EpochCache,
  type Grant,
  Lru,
  type Person,
} from "../access/index.ts";
import type { Sql } from "../storage/index.ts";
import { readFacts, readVersion } from "./store.ts";

const FACTS = 10_000;
const VERSIONS = 2_000;
/** Facts are tied to an epoch, so their age matters only to a caller who is as old. */
const MAX_AGE_MS = 60_000;

export type CallableAgent = {
  readonly agentId: AgentId;
  readonly version: number;
  readonly config: AgentConfig;
  /** The epoch this answer is true for, at least the caller's. The commit that uses it checks it again. */
  readonly epoch: number;
  readonly grant: Grant<"agent.call">;
  readonly facts: AgentFacts;
};

export class AgentDirectory {
  readonly #sql: Sql;
  readonly #facts: EpochCache<AgentFacts>;
  readonly #versions = new Lru<string, AgentConfig>(VERSIONS);

  constructor({ sql, wakes }: { sql: Sql; wakes: Pick<AccessWakes, "on"> }) {
    this.#sql = sql;
    this.#facts = new EpochCache({ wakes, capacity: FACTS, maxAgeMs: MAX_AGE_MS });
  }

  /**
   * The live version of an agent that this caller may call now.
   *
   * When `epoch` is above the caller's, the caller is out of date: refresh it before writing.
   *
   * @throws insufficient_scope, not_found, agent_not_published, api_access_disabled, forbidden
   */
  async forCall(caller: Caller, agentIdOrSlug: string): Promise<CallableAgent> {
    const { epoch, facts } = await this.#read(caller, agentIdOrSlug);
    return this.#callable(callAgent(caller, facts), epoch, facts);
  }

  /** The agent's facts for other decisions about it, such as `seeAgent`; undefined when it is not there. */
  async facts(caller: Caller, agentIdOrSlug: string): Promise<AgentFacts | undefined> {
    return (await this.#read(caller, agentIdOrSlug)).facts;
  }

  /** The same in a transaction: nothing waits for another connection while it holds locks that others wait for. */
  async factsIn(tx: Sql, caller: Caller, agentId: AgentId): Promise<AgentFacts | undefined> {
    const { organizationId, epoch } = caller;
    const known = this.#facts.known(organizationId, agentId, epoch);
    return known === undefined ? (await readFacts(tx, organizationId, agentId)).facts : known.value;
  }

  /** The same with the epoch it is true for, which may be above the caller's. */
  factsAt(caller: Caller, agentIdOrSlug: string): Promise<{ epoch: number; facts: AgentFacts | undefined }> {
    return this.#read(caller, agentIdOrSlug);
  }

  /** The live version of an agent, whoever may call it; undefined without one. */
  async live(organizationId: OrganizationId, agentIdOrSlug: string): Promise<AgentConfig | undefined> {
    const { facts } = await this.#read({ organizationId, epoch: 0 }, agentIdOrSlug);
    if (facts === undefined || facts.liveVersion === null) return undefined;
    return this.version(organizationId, facts.id, facts.liveVersion);
  }

  /**
   * The live version of an agent that a run of this caller may call now.
   *
   * @param attributed for whom a service works, as a member is now; null when it works for itself
   * @throws insufficient_scope, not_found, agent_not_published, forbidden, attribution_not_allowed
   */
  async forSubCall(
    caller: Caller,
    attributed: { person: Person | undefined } | null,
    agentIdOrSlug: string,
  ): Promise<CallableAgent> {
    const { epoch, facts } = await this.#read(caller, agentIdOrSlug);
    return this.#callable(callSubAgent(caller, attributed, facts), epoch, facts);
  }

  /**
   * A version's configuration; shared by its readers, who leave it as it is.
   *
   * @param sql the transaction it is read in, where there is one
   * @throws not_found
   */
  async version(
    organizationId: OrganizationId,
    agentId: AgentId,
    version: number,
    sql: Sql = this.#sql,
  ): Promise<AgentConfig> {
    const key = `${organizationId}/${agentId}/${version}`;
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const found = await readVersion(sql, { organizationId, id: agentId }, version);
    if (found === undefined) throw notFound();
    this.#versions.set(key, found.config);
    return found.config;
  }

  close(): void {
    this.#facts.close();
  }

  async #callable(grant: Grant<"agent.call">, epoch: number, facts: AgentFacts | undefined): Promise<CallableAgent> {
    if (facts === undefined || facts.liveVersion === null) throw notFound(); // there is a grant, so it is there
    const config = await this.version(grant.organizationId, facts.id, facts.liveVersion);
    return { agentId: facts.id, version: facts.liveVersion, config, epoch, grant, facts };
  }

  async #read(
    caller: Pick<Caller, "organizationId" | "epoch">,
    agentIdOrSlug: string,
  ): Promise<{ epoch: number; facts: AgentFacts | undefined }> {
    const { organizationId, epoch } = caller;
    let missing: { epoch: number; facts: undefined } | undefined;
    const read = async () => {
      const found = await readFacts(this.#sql, organizationId, agentIdOrSlug);
      if (found.facts !== undefined) return { epoch: found.epoch, value: found.facts };
      missing = { epoch: found.epoch, facts: undefined };
      throw notFound(); // what is not there is not remembered: a caller could fill the memory with names
    };
    try {
      const found = await this.#facts.get(organizationId, agentIdOrSlug, read, epoch);
      return { epoch: found.epoch, facts: found.value };
    } catch (error) {
      if (error instanceof CallboardError && error.code === "not_found") return missing ?? { epoch, facts: undefined };
      throw error;
    }
  }
}

const notFound = () => new CallboardError("not_found", "there is no such agent for this caller");
