/** Who is asking, as handlers see it: a copy that cannot be changed and that nothing reads back. */
import type { EndpointCaller } from "@callboard/kit";
import type { Caller } from "../access/index.ts";

export function endpointCaller({ organizationId, kind, userId, email, groups, role, scopes }: Caller): EndpointCaller {
  return Object.freeze({
    organizationId,
    kind,
    userId,
    email,
    groups: Object.freeze(groups.map(({ slug }) => slug)),
    role,
    scopes: Object.freeze([...scopes]),
  });
}
