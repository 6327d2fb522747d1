/** Groups that an agent's configuration names as approvers: a name that nobody bears lets nobody decide. */
import { type Approvals, type FieldProblem, type OrganizationId, toUuid } from "@callboard/protocol";
import { findGroups } from "../access/index.ts";
import type { Sql } from "../storage/index.ts";

const PREFIX = "group:";

/** The slugs of the groups among the approvers. */
export const approverGroups = ({ approvers }: Approvals): string[] =>
  approvers.filter((one) => one.startsWith(PREFIX)).map((one) => one.slice(PREFIX.length));

/** Which of them there are not. A group that goes later has no members then. */
export async function groupProblems(
  sql: Sql,
  organizationId: OrganizationId,
  approvals: Approvals,
): Promise<FieldProblem[]> {
  const slugs = approverGroups(approvals);
  if (slugs.length === 0) return [];
  const known = await findGroups(sql, toUuid(organizationId), slugs);
  return approvals.approvers.flatMap((one, i) => {
    const slug = one.startsWith(PREFIX) ? one.slice(PREFIX.length) : undefined;
    if (slug === undefined || known.has(slug)) return [];
    return [{ path: `approvals.approvers[${i}]`, message: `there is no group ${slug}` }];
  });
}
