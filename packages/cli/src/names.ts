/** Things that people name by what they know of them: a slug or an address in the place of an id. */
import { CallboardApiError, type CallboardClient, type Page, paginate } from "@callboard/client";
import { UsageError } from "./errors.ts";
import { plain } from "./output.ts";

type Named = { id: string; name: string };

/** Ids of what is named. @throws UsageError that says which there are */
async function idsOf(
  word: string,
  prefix: string,
  named: readonly string[],
  list: () => AsyncIterable<Named>,
): Promise<string[]> {
  const isId = (name: string) => name.startsWith(`${prefix}_`);
  if (named.every(isId)) return [...named];
  const known: Named[] = [];
  for await (const one of list()) known.push(one);
  return named.map((name) => {
    const id = isId(name) ? name : known.find((one) => one.name === name)?.id;
    if (id !== undefined) return id;
    const names = known.slice(0, 20).map((one) => plain(one.name));
    const others = known.length > names.length ? `, … ${known.length} in all` : "";
    throw new UsageError(`there is no ${word} ${name}; the organization has ${names.join(", ") || "none"}${others}`);
  });
}

async function* all<T>(list: (page: object) => Promise<Page<T>>, toNamed: (one: T) => Named): AsyncIterable<Named> {
  for await (const one of paginate((page) => list({ limit: 200, ...page }))) yield toNamed(one);
}

const one = async (ids: Promise<string[]>): Promise<string> => (await ids)[0] as string;
const byEmail = ({ user_id, email }: { user_id: string; email: string }): Named => ({ id: user_id, name: email });
const bySlug = ({ id, slug }: { id: string; slug: string }): Named => ({ id, name: slug });

/** Agents by slug or id. */
export const agentIds = (client: CallboardClient, named: readonly string[]): Promise<string[]> =>
  Promise.all(named.map(async (name) => (name.startsWith("agent_") ? name : (await client.agents.get(name)).id)));

export const agentId = (client: CallboardClient, named: string): Promise<string> => one(agentIds(client, [named]));

/** Groups by slug or id. */
export const groupIds = (client: CallboardClient, named: readonly string[] = []): Promise<string[]> =>
  idsOf("group", "group", named, () => all(client.groups.list, bySlug));
export const groupId = (client: CallboardClient, named: string): Promise<string> => one(groupIds(client, [named]));

/** Members by email or id. */
export const userIds = (client: CallboardClient, named: readonly string[] = []): Promise<string[]> =>
  idsOf("member", "user", named, () =>
    all(client.members.list, ({ user_id, email }) => ({ id: user_id, name: email })),
  );
export const userId = (client: CallboardClient, named: string): Promise<string> => one(userIds(client, [named]));

/** A model connection by slug or id. */
export const modelId = (client: CallboardClient, named: string): Promise<string> =>
  one(idsOf("model connection", "model", [named], () => all(client.models.list, bySlug)));

/** A single sign-on connection by slug or id. */
export const ssoConnectionId = (client: CallboardClient, named: string): Promise<string> =>
  one(idsOf("single sign-on connection", "sso", [named], () => all(client.ssoConnections.list, bySlug)));

/** What people call agents or members by, by id; without those that the caller may not list. */
export async function namesOf(client: CallboardClient, what: "agent" | "user"): Promise<Map<string, string>> {
  const known = what === "agent" ? all(client.agents.list, bySlug) : all(client.members.list, byEmail);
  const names = new Map<string, string>();
  try {
    for await (const { id, name } of known) names.set(id, name);
  } catch (error) {
    if (!(error instanceof CallboardApiError) || error.status !== 403) throw error;
  }
  return names;
}
