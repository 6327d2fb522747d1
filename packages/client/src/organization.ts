/** The caller, the organization, its people, tokens and audit log. */
import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";

export function meCalls({ call }: Transport) {
  return {
    /** Who the token says is asking. */
    get: (options?: RequestOptions) => call("me.get", { ...options }),
  };
}

export function organizationCalls({ call }: Transport) {
  return {
    get: (options?: RequestOptions) => call("organization.get", { ...options }),

    /** Renames the organization or changes what its members may do. */
    update: (body: RouteBodyInput<"organization.update">, options?: RequestOptions) =>
      call("organization.update", { body, ...options }),
  };
}

export function memberCalls({ call }: Transport) {
  return {
    list: (query?: QueryInput<"members.list">, options?: RequestOptions) => call("members.list", { query, ...options }),

    add: (body: RouteBodyInput<"members.add">, options?: CreateOptions) => call("members.add", { body, ...options }),

    /** Changes the role, or suspends the member. */
    update: (userId: string, body: RouteBodyInput<"members.update">, options?: RequestOptions) =>
      call("members.update", { params: { user_id: userId }, body, ...options }),

    /** Removes the person; the person's tokens end with it. */
    remove: (userId: string, options?: RequestOptions) =>
      call("members.remove", { params: { user_id: userId }, ...options }),
  };
}

export function groupCalls({ call }: Transport) {
  return {
    list: (query?: QueryInput<"groups.list">, options?: RequestOptions) => call("groups.list", { query, ...options }),

    create: (body: RouteBodyInput<"groups.create">, options?: CreateOptions) =>
      call("groups.create", { body, ...options }),

    /** Renames the group or replaces its members. */
    update: (groupId: string, body: RouteBodyInput<"groups.update">, options?: RequestOptions) =>
      call("groups.update", { params: { group_id: groupId }, body, ...options }),

    delete: (groupId: string, options?: RequestOptions) =>
      call("groups.delete", { params: { group_id: groupId }, ...options }),
  };
}

export function auditCalls({ call }: Transport) {
  return {
    /** Who did what, newest first. */
    list: (query?: QueryInput<"audit.list">, options?: RequestOptions) => call("audit.list", { query, ...options }),

    /** Number and hash of the last entry, to keep elsewhere. */
    head: (options?: RequestOptions) => call("audit.head", { ...options }),

    /** Checks the chain, and that it holds an anchor kept elsewhere. */
    verify: (query?: QueryInput<"audit.verify">, options?: RequestOptions) =>
      call("audit.verify", { query, ...options }),
  };
}

export function tokenCalls({ call }: Transport) {
  return {
    /** One's own tokens, or all of the organization's for its admins. */
    list: (query?: QueryInput<"tokens.list">, options?: RequestOptions) => call("tokens.list", { query, ...options }),

    /** Creates a token; its secret is in this answer and nowhere else. */
    create: (body: RouteBodyInput<"tokens.create">, options?: CreateOptions) =>
      call("tokens.create", { body, ...options }),

    /** Renames the token, takes scopes away, or changes a service token's agents. */
    update: (tokenId: string, body: RouteBodyInput<"tokens.update">, options?: RequestOptions) =>
      call("tokens.update", { params: { token_id: tokenId }, body, ...options }),

    /** Replaces the secret; the old one goes on for `overlap_seconds`. */
    rotate: (tokenId: string, body: RouteBodyInput<"tokens.rotate"> = {}, options?: CreateOptions) =>
      call("tokens.rotate", { params: { token_id: tokenId }, body, ...options }),

    /** Revokes the token at once; its open streams close within a second. */
    revoke: (tokenId: string, options?: RequestOptions) =>
      call("tokens.revoke", { params: { token_id: tokenId }, ...options }),
  };
}
