/** Groups that a project's files name. */
import { type Group, toUuid } from "@callboard/protocol";
import { type AccessWakes, type Caller, createGroup, findGroups, manageMembers } from "../access/index.ts";
import type { Transaction } from "../storage/index.ts";

/** The groups' ids; those that are missing are made, without members. */
export async function makeGroups(
  wakes: Pick<AccessWakes, "send">,
  tx: Transaction,
  caller: Caller,
  slugs: readonly string[],
): Promise<Group["id"][]> {
  if (slugs.length === 0) return [];
  const known = await findGroups(tx, toUuid(caller.organizationId), slugs);
  const ids: Group["id"][] = [];
  for (const slug of new Set(slugs)) {
    const plan = { slug, name: slug, user_ids: [] };
    ids.push(known.get(slug) ?? (await createGroup(tx, wakes, manageMembers(caller), plan, null)).id);
  }
  return ids;
}
