/** Single sign-on: connections for owners, and the two addresses a browser passes on its way. */
import { type Acts, manageSso } from "../access/index.ts";
import {
  ATTEMPT_SECONDS,
  createConnection,
  deleteConnection,
  finishSso,
  getConnection,
  listConnections,
  type SsoWorld,
  startSso,
  updateConnection,
} from "../identity/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import type { Handlers } from "./handler.ts";
import type { Site } from "./site.ts";

export type SsoRooms = {
  readonly acts: Acts;
  readonly sso: SsoWorld & { readonly keys: SecretKeys };
  readonly site: Site;
};

type SsoRoute = `ssoConnections.${"list" | "create" | "get" | "update" | "delete"}` | "sso.start" | "sso.callback";

export function ssoHandlers({ acts, sso, site }: SsoRooms): Pick<Handlers, SsoRoute> {
  const { database } = sso;
  return {
    "ssoConnections.list": async ({ caller, query }) => listConnections(database, sso, manageSso(caller), query),

    "ssoConnections.create": (request) =>
      acts.once(request, "sso_connection.create", (tx, caller) =>
        createConnection(tx, sso, manageSso(caller), request.body, request.requestId),
      ),

    "ssoConnections.get": async ({ caller, params }) =>
      getConnection(database, sso, manageSso(caller), params.connection_id),

    "ssoConnections.update": (request) =>
      acts.run(request, "sso_connection.update", request.params.connection_id, (tx, caller) =>
        updateConnection(tx, sso, manageSso(caller), request.params.connection_id, request.body, request.requestId),
      ),

    "ssoConnections.delete": async (request) => {
      await acts.run(request, "sso_connection.delete", request.params.connection_id, (tx, caller) =>
        deleteConnection(tx, sso, manageSso(caller), request.params.connection_id, request.requestId),
      );
    },

    "sso.start": async ({ incoming, requestId, params, query, outgoing }) => {
      const door = { client: site.clientOf(incoming), requestId };
      const known = site.attemptOf(incoming);
      const { url, browser } = await startSso(sso, door, params.slug, query.return_to, known);
      outgoing.setHeader("set-cookie", site.attemptCookie(incoming, browser, ATTEMPT_SECONDS));
      outgoing.setHeader("location", url);
    },

    "sso.callback": async ({ incoming, requestId, params, outgoing }) => {
      const door = { client: site.clientOf(incoming), requestId };
      const query = (incoming.url ?? "").split("?")[1] ?? "";
      const { opened, returnTo } = await finishSso(sso, door, params.slug, query, site.attemptOf(incoming));
      outgoing.setHeader("set-cookie", site.sessionCookie(incoming, opened.secret, opened.expiresAtMs));
      outgoing.setHeader("location", returnTo);
    },
  };
}
