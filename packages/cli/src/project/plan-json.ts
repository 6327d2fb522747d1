/** A plan for programs. */
import type { AgentPlan, CollectionPlan, FoundAgent } from "@callboard/server";

/** The same plan gives the same JSON. `left` are agents without a file that stay. */
export function toJson(
  plans: readonly AgentPlan[],
  left: readonly FoundAgent[],
  collections: readonly CollectionPlan[],
): Record<string, unknown> {
  return {
    changed: [...plans, ...collections].some(({ action }) => action !== "none"),
    agents: plans.map((plan) => {
      const { slug, action } = plan;
      if (action === "create") return { slug, action, publish: true, body: plan.body };
      if (action !== "update") return { slug, action };
      const { write, publish, changes, discards } = plan;
      return { slug, action, writes: Object.keys(write), publish, changes, discards };
    }),
    without_file: left.map(({ agent }) => agent.slug),
    collections: collections.map(collectionToJson),
  };
}

function collectionToJson({ slug, action, changes, newGroups, language, documents, left }: CollectionPlan) {
  return {
    slug,
    action,
    changes,
    creates_groups: newGroups,
    ...(language === undefined ? {} : { keeps_language: language }),
    documents: documents.map(({ name, action: deed }) => ({ name, action: deed })),
    without_file: left,
  };
}
