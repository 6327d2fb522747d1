/** Who is asking, as handlers see it: a copy that cannot be changed and that nothing reads back. */
import type { EndpointCaller } from "@callboard/kit";
import type { TokenId } from "@callboard/protocol";
import type { Caller } from "../access/index.ts";

export function endpointCaller(caller: Caller): EndpointCaller {
  const { organizationId, kind, userId, tokenId, email, groups, role, scopes } = caller;
  return Object.freeze({
    organizationId,
    kind,
    userId,
    serviceId: kind === "service" ? (tokenId as TokenId) : null,
    email,
    groups: Object.freeze(groups.map(({ slug }) => slug)),
    role,
    scopes: Object.freeze([...scopes]),
  });
}
