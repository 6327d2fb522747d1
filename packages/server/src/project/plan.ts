/**
 * What would make the agents of a server those of a project. Pure: the same files and the same agents give the
 * same plan, for a server that starts and for the command line.
 *
 *   file ──┬── draft differs ────── write the draft
 *          ├── settings differ ──── write the settings
 *          └── live differs ─────── publish
 *
 * P1: a plan that was carried out is followed by one without a change.
 * P2: nothing is taken away unless `prune` asks for it, and no agent that has threads is deleted.
 */
import type { Agent, AgentConfig, CreateAgent, Json, UpdateAgent } from "@callboard/protocol";
import { type Change, diff } from "../agents/index.ts";

/** What a file says: the body that creates its agent. */
export type AgentInFile = CreateAgent;

/** An agent of the server, and the configuration of its live version; null when none is live. */
export type FoundAgent = { readonly agent: Agent; readonly live: AgentConfig | null };

export type AgentPlan =
  | { readonly action: "none"; readonly slug: string }
  | { readonly action: "create"; readonly slug: string; readonly body: CreateAgent }
  | AgentUpdate
  | { readonly action: "unpublish" | "delete"; readonly slug: string; readonly agent: Agent };

export type AgentUpdate = {
  readonly action: "update";
  readonly slug: string;
  readonly agent: Agent;
  /** Draft and settings to write, those that differ; empty for none. */
  readonly write: Omit<UpdateAgent, "slug" | "owner_id">;
  readonly publish: boolean;
  /** What callers will notice: from the live version, or the draft where none is live, to the file. */
  readonly changes: readonly Change[];
  /** What the draft says beside the live version and was never published: it goes. */
  readonly discards: readonly Change[];
};

export function planAgent(file: AgentInFile, found: FoundAgent | undefined): AgentPlan {
  const { slug, draft, ...settings } = file;
  if (found === undefined) return { action: "create", slug, body: file };
  const { agent, live } = found;
  const staleDraft = differs(agent.draft, draft);
  const publish = live === null || differs(live, draft);
  const changedSettings = Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => agent[name as keyof typeof settings] !== value),
  );
  if (!staleDraft && !publish && Object.keys(changedSettings).length === 0) return { action: "none", slug };
  const before = Object.fromEntries(Object.keys(settings).map((name) => [name, agent[name as keyof typeof settings]]));
  return {
    action: "update",
    slug,
    agent,
    write: { ...(staleDraft ? { draft } : {}), ...changedSettings },
    publish,
    changes: compare({ ...before, ...(live ?? agent.draft) }, { ...settings, ...draft }),
    discards: staleDraft && live !== null ? compare(live, agent.draft) : [],
  };
}

export type PlanOptions = {
  /** Take away agents that have no file. Default: leave them. */
  prune?: boolean;
  /** Slugs of agents that have threads and so can only be unpublished. */
  withThreads?: ReadonlySet<string>;
};

/** @returns one entry for each file and, with `prune`, for each agent without one; by slug */
export function planAgents(
  files: readonly AgentInFile[],
  found: readonly FoundAgent[],
  { prune = false, withThreads = new Set() }: PlanOptions = {},
): AgentPlan[] {
  const plans = files.map((file) =>
    planAgent(
      file,
      found.find(({ agent }) => agent.slug === file.slug),
    ),
  );
  if (prune) plans.push(...withoutFile(files, found).map(({ agent }) => planRemoval(agent, withThreads)));
  return plans.sort((a, b) => (a.slug < b.slug ? -1 : 1));
}

/** Agents of the server that the project does not have. */
export function withoutFile(files: readonly AgentInFile[], found: readonly FoundAgent[]): FoundAgent[] {
  const slugs = new Set(files.map(({ slug }) => slug));
  return found.filter(({ agent }) => !slugs.has(agent.slug));
}

function planRemoval(agent: Agent, withThreads: ReadonlySet<string>): AgentPlan {
  const { slug } = agent;
  if (!withThreads.has(slug)) return { action: "delete", slug, agent };
  return agent.live_version === null ? { action: "none", slug } : { action: "unpublish", slug, agent };
}

/**
 * Publishes each of them, in whatever order the server takes them: what one agent may do can depend on what another
 * one's live version says.
 *
 * @param publish throws `draft_invalid` for an agent that cannot be published as things stand
 * @throws the first refusal of those that no other publishing helped against; the others are published by then
 */
export async function publishAll<T>(toPublish: readonly T[], publish: (one: T) => Promise<void>): Promise<void> {
  for (let left = toPublish; left.length > 0; ) {
    const refused: { one: T; error: unknown }[] = [];
    for (const one of left) {
      try {
        await publish(one);
      } catch (error) {
        if ((error as { code?: unknown }).code !== "draft_invalid") throw error;
        refused.push({ one, error });
      }
    }
    if (refused.length === left.length) throw refused[0]?.error;
    left = refused.map(({ one }) => one);
  }
}

// Lists are small and their order counts, so one that differs is shown whole.
const compare = (before: unknown, after: unknown): Change[] => diff(before as Json, after as Json, "whole");
const differs = (before: unknown, after: unknown): boolean => compare(before, after).length > 0;
