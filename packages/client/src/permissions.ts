import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { PreferWait, QueryInput, RequestOptions } from "./types.ts";

export function permissionCalls(transport: Transport) {
  const { call } = transport;
  const byId = (permissionId: string, options?: RequestOptions) => ({
    params: { permission_id: permissionId },
    ...options,
  });
  return {
    /**
     * Requests that were made for the caller or that the caller may decide, newest first. With `waitSeconds` an
     * empty page is held until there is one.
     */
    list: (query?: QueryInput<"permissions.list">, options?: RequestOptions & PreferWait) =>
      call("permissions.list", { query, ...options }),

    /** With `waitSeconds` it is held until it is decided. */
    get: (permissionId: string, options?: RequestOptions & PreferWait) =>
      call("permissions.get", byId(permissionId, options)),

    /**
     * Decides: one decision wins. Give the request's `arguments_hash` to decide on what was shown and nothing else.
     *
     * @throws CallboardApiError `permission_decided`, `permission_expired`, `permission_mismatch`, `forbidden`
     */
    decide: (permissionId: string, body: RouteBodyInput<"permissions.decide">, options?: RequestOptions) =>
      call("permissions.decide", { ...byId(permissionId, options), body }),
  };
}
