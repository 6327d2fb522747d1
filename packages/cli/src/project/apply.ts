/**
 * Carries a plan out over the API: all drafts and settings first, then what is to be published, then what is
 * taken away. Each write names the revision that was planned on, so it is refused when somebody was faster.
 */
import { CallboardApiError, type CallboardClient } from "@callboard/client";
import type { AgentPlan } from "@callboard/server";

export type Done = {
  slug: string;
  did: "created" | "changed" | "published" | "unpublished" | "deleted";
  note?: string;
};

/**
 * @param report called after each write
 * @throws CallboardApiError of the first write that is refused; what was reported before stays, and a new plan
 *   goes on from there
 */
export async function applyPlans(
  client: CallboardClient,
  plans: readonly AgentPlan[],
  report: (done: Done) => void,
): Promise<void> {
  const toPublish: { slug: string; revision: string }[] = [];
  for (const plan of plans) {
    const { slug } = plan;
    if (plan.action === "create") {
      const { revision } = await client.agents.create(plan.body);
      report({ slug, did: "created" });
      toPublish.push({ slug, revision });
    } else if (plan.action === "update") {
      let { revision } = plan.agent;
      if (Object.keys(plan.write).length > 0) {
        ({ revision } = await client.agents.update(slug, plan.write, { ifRevision: revision }));
        report({ slug, did: "changed" });
      }
      if (plan.publish) toPublish.push({ slug, revision });
    }
  }
  const { publishAll } = await import("@callboard/server");
  await publishAll(toPublish, async ({ slug, revision }) => {
    const { version } = await client.agents.publish(slug, { ifRevision: revision });
    report({ slug, did: "published", note: `version ${version}` });
  });
  for (const plan of plans) {
    if (plan.action === "delete" || plan.action === "unpublish") report(await takeAway(client, plan));
  }
}

async function takeAway(
  client: CallboardClient,
  { action, slug, agent }: Extract<AgentPlan, { action: "delete" | "unpublish" }>,
): Promise<Done> {
  const seen = { ifRevision: agent.revision };
  if (action === "delete") {
    try {
      await client.agents.delete(slug, seen);
      return { slug, did: "deleted" };
    } catch (error) {
      // It has threads that this token may not see.
      if (!(error instanceof CallboardApiError && error.code === "already_exists")) throw error;
    }
  }
  await client.agents.unpublish(slug, seen);
  return { slug, did: "unpublished", note: "it has threads, so it was not deleted" };
}
