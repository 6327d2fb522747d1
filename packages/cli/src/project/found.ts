/** The agents of a server, as far as the token may read them. */
import { type Agent, type CallboardClient, paginate } from "@callboard/client";
import type { FoundAgent } from "@callboard/server";

/** Requests under way at once. */
const AT_ONCE = 8;

/** Every agent with its live configuration, by slug. */
export async function findAgents(client: CallboardClient): Promise<FoundAgent[]> {
  const agents: Agent[] = [];
  for await (const agent of paginate((page) => client.agents.list({ ...page, limit: 200 }))) agents.push(agent);
  return inTurns(agents, (agent) => withLive(client, agent));
}

export async function withLive(client: CallboardClient, agent: Agent): Promise<FoundAgent> {
  const { slug, live_version: live } = agent;
  return { agent, live: live === null ? null : (await client.agents.version(slug, live)).config };
}

/** The slugs of those agents that have threads which the token may see. */
export async function findWithThreads(
  client: CallboardClient,
  agents: readonly FoundAgent[],
): Promise<ReadonlySet<string>> {
  const slugs = await inTurns(agents, async ({ agent: { slug } }) => {
    const { data } = await client.threads.list(slug, { limit: 1 });
    return data.length > 0 ? [slug] : [];
  });
  return new Set(slugs.flat());
}

async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const done: R[] = [];
  for (let i = 0; i < items.length; i += AT_ONCE) {
    done.push(...(await Promise.all(items.slice(i, i + AT_ONCE).map(work))));
  }
  return done;
}
