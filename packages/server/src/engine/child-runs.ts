/**
 * The runs that a run calls.
 *
 *   call ─ its child there? ─ no ─▶ may the caller? deep? circle? left? ─▶ child, in one commit ─▶ follow it
 *                           └ yes ─ join ─────────────────────────────────────────────────────────▶ follow it
 *
 * D1  A call has its child once: the child's id is made from the call's, also after a crash or a take-over.
 * D2  The child works for the same principal, which is stored; whether that one may use the child's agent is
 *     decided as its rights stand when the call begins, in the commit that begins it.
 * D3  The child works under the version that was live at that moment.
 * D4  It is given what its caller has left, under the lock that all children of that one begin under: what one has
 *     been given is nobody else's until it has ended.
 * D5  Nobody cancels a child here: when its call or the run of its call is over, `settleFamilies` does.
 */
import {
  type AgentConfig,
  CallboardError,
  isTerminal,
  type Run,
  terminalEventTypes,
  toUuid,
  type Usage,
} from "@callboard/protocol";
import { type Authenticator, audit, findPerson } from "../access/index.ts";
import { type AgentDirectory, type CallableAgent, MAX_DEPTH } from "../agents/index.ts";
import { render } from "../calls/index.ts";
import type { Feed } from "../events/index.ts";
import {
  Attempts,
  agentsAbove,
  childIds,
  findRun,
  keyOf,
  type RunHost,
  type RunKey,
  type RunRow,
  startChild,
  toRun,
} from "../runs/index.ts";
import type { Database, Wakes } from "../storage/index.ts";
import { leave } from "./child-limits.ts";
import type { Seat } from "./seat.ts";
import { RunStop } from "./stop.ts";
import type { ToolRun } from "./tool-context.ts";

export type ChildServices = {
  database: Database;
  feed: Feed;
  agents: Pick<AgentDirectory, "live" | "forSubCall">;
  authenticator: Pick<Authenticator, "callerOf">;
  now: () => Date;
};

/** The run that calls. */
export type Parent = {
  run: ToolRun;
  config: AgentConfig;
  seat: Seat;
  /** What its own model calls used. */
  used: () => Usage;
  /** Milliseconds of its running time that are left. */
  leftMs: () => number;
  /** It has a child now. */
  onBegin: () => void;
};

export type Asked = {
  callId: Parameters<typeof childIds>[0];
  /** Which agent of this call, from 1. */
  number: number;
  slug: string;
  message: string;
  variables: Parameters<typeof render>[1];
  /** Calls of agents that begin together and share what is left. */
  share: number;
  /** Nobody could make the call again: it is followed here also while the child waits for a person. */
  must: boolean;
};

/**
 * `waits`: the child goes on without its caller being here. `denied`: the caller may not use the agent.
 * `refused`: the call makes no sense as it is.
 */
export type ChildOutcome =
  | { kind: "ended"; run: Run }
  | { kind: "waits"; run: Run }
  | { kind: "denied"; reason: string }
  | { kind: "refused"; reason: string };

/** Events after which a child may have stopped for its caller. */
const STOPS: ReadonlySet<string> = new Set([...terminalEventTypes, "run.waiting"]);

export class ChildRuns {
  readonly #services: ChildServices;
  readonly #host: RunHost;
  readonly #wakes: Pick<Wakes, "send">;

  constructor(services: ChildServices, host: RunHost, wakes: Pick<Wakes, "send">) {
    this.#services = services;
    this.#host = host;
    this.#wakes = wakes;
  }

  /** @throws the signal's reason; RunStop when the parent is lost; unavailable */
  async call(parent: Parent, asked: Asked, signal: AbortSignal): Promise<ChildOutcome> {
    signal.throwIfAborted();
    const rests = parent.seat.rest(asked.must);
    try {
      const { organizationId } = parent.run.key;
      const before = await findRun(this.#services.database, organizationId, childIds(asked.callId, asked.number).runId);
      const child = before ?? (await this.#begin(parent, asked));
      if ("kind" in child) return child;
      parent.onBegin();
      return await this.#follow(child, rests, asked.must, signal);
    } finally {
      if (rests) parent.seat.back();
    }
  }

  async #begin(parent: Parent, asked: Asked): Promise<RunRow | ChildOutcome> {
    try {
      for (const attempts = new Attempts(); ; await attempts.again()) {
        const agent = await this.#allowed(parent, asked.slug);
        const begun = agent === undefined ? undefined : await this.#beginAs(parent, asked, agent);
        if (begun !== undefined) return begun;
      }
    } catch (error) {
      if (!(error instanceof CallboardError) || error.status >= 500) throw error;
      return { kind: error.code === "invalid_variables" ? "refused" : "denied", reason: error.message };
    }
  }

  /** The agent, if the run's principal may use it now; undefined when access changed while it was read (D2). */
  async #allowed({ run: { key, row } }: Parent, slug: string): Promise<CallableAgent | undefined> {
    const { database, agents, authenticator } = this.#services;
    const { organizationId } = key;
    const { tokenId, userId } = row.principal;
    const caller = await authenticator.callerOf({ organizationId, tokenId }, true);
    const attributed = caller.kind === "user" || userId === null ? null : userId;
    const person = attributed === null ? null : { person: await findPerson(database, organizationId, attributed) };
    try {
      const agent = await agents.forSubCall(caller, person, slug);
      return agent.epoch > caller.epoch ? undefined : { ...agent, epoch: caller.epoch };
    } catch (error) {
      if (!(error instanceof CallboardError) || error.status >= 500) throw error;
      const details = { code: error.code, run_id: key.runId };
      const entry = { actor: { caller }, action: "agent.call", target: slug, outcome: "refused", details } as const;
      await audit(database, { ...entry, requestId: null });
      throw error;
    }
  }

  /** @returns undefined when access changed: to be decided again */
  async #beginAs(parent: Parent, asked: Asked, agent: CallableAgent): Promise<RunRow | ChildOutcome | undefined> {
    const { fence, row } = parent.run;
    if (row.depth + 1 > MAX_DEPTH) return refused(`agents may call each other ${MAX_DEPTH} levels deep at most`);
    const above = await agentsAbove(this.#services.database, row.organization_id, row.id);
    if (above.includes(toUuid(agent.agentId))) return refused(`the agent ${asked.slug} is at work on this already`);
    const { prompt, variables } = render(agent.config, asked.variables);
    const started = await startChild(
      { ...this.#services, host: this.#host, wakes: this.#wakes },
      {
        parent: row,
        fence,
        callId: asked.callId,
        number: asked.number,
        agent: { id: agent.agentId, version: agent.version },
        content: [{ type: "text", text: asked.message }],
        prompt,
        variables,
        limits: (below) => leave(parent.config.limits, parent.used(), below, parent.leftMs(), asked.share),
        epoch: agent.epoch,
      },
    );
    if (started.kind === "fenced") throw new RunStop("lost");
    if (started.kind === "spent") return refused("the run has nothing left of its limits for another agent");
    return started.kind === "started" ? started.row : undefined;
  }

  /** Waits for the child's end, or for its beginning to wait. */
  async #follow(child: RunRow, rests: boolean, must: boolean, signal: AbortSignal): Promise<ChildOutcome> {
    const { database } = this.#services;
    const { organizationId, runId } = keyOf(child);
    let afterSeq = child.queued_seq;
    for (;;) {
      const row = await findRun(database, organizationId, runId);
      if (row === undefined) return refused("the thread of the agent's run was deleted");
      if (isTerminal(row.state)) return { kind: "ended", run: toRun(row) };
      if (!must && (!rests || row.state === "waiting")) return { kind: "waits", run: toRun(row) };
      afterSeq = await this.#untilStop(keyOf(row), afterSeq, signal);
    }
  }

  /** @returns the place in the child's log behind its next stop */
  async #untilStop(key: RunKey, afterSeq: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const mark = `"run_id":"${key.runId}"`;
    return new Promise<number>((resolve, reject) => {
      const over = (settle: () => void) => {
        signal.removeEventListener("abort", aborted);
        // The first events may come before `follow` returns.
        queueMicrotask(() => follower.close());
        settle();
      };
      const aborted = () => over(() => reject(signal.reason));
      signal.addEventListener("abort", aborted, { once: true });
      const follower = this.#services.feed.follow(key, afterSeq, {
        deliver: (events) => {
          const stop = events.findLast((event) => STOPS.has(event.type) && event.body.includes(mark));
          if (stop !== undefined) over(() => resolve(stop.seq));
          return true;
        },
        end: () => over(() => resolve(afterSeq)),
      });
    });
  }
}

const refused = (reason: string): ChildOutcome => ({ kind: "refused", reason });
