/** Signing in and out, sessions, passwords, invitations' acceptance. Sessions leave as cookies and in no body. */
import type { SignedIn } from "@callboard/protocol";
import {
  type Acts,
  type Authenticator,
  type Caller,
  currentSession,
  getMember,
  getOrganization,
  listSessions,
  manageMembers,
  type OpenedSession,
  requireSession,
  revokeSession,
  revokeSessions,
  signOut,
} from "../access/index.ts";
import {
  acceptInvitation,
  changePassword,
  createPasswordLink,
  type Door,
  type IdentityWorld,
  previewInvitation,
  reachable,
  resetPassword,
  signIn,
  switchOrganization,
} from "../identity/index.ts";
import type { Transaction } from "../storage/index.ts";
import type { ApiRequest, Handlers, OpenRequest, Sent } from "./handler.ts";
import type { Site } from "./site.ts";

export type SessionRooms = {
  readonly acts: Acts;
  readonly authenticator: Authenticator;
  readonly identity: IdentityWorld;
  readonly site: Site;
};

type SessionRoute =
  | "session.signIn"
  | "session.get"
  | "session.signOut"
  | "session.switch"
  | "sessions.list"
  | "sessions.end"
  | "sessions.endAll"
  | "password.change"
  | "password.reset"
  | "passwordLinks.create"
  | "invitations.preview"
  | "invitations.accept";
/** Routes that leave the browser signed in. */
type Entrance = "session.signIn" | "session.switch" | "password.change" | "invitations.accept";
// biome-ignore lint/suspicious/noExplicitAny: a request of whatever route
type AnyRequest = ApiRequest<any> | OpenRequest<any>;

export function sessionHandlers({ acts, authenticator, identity, site }: SessionRooms): Pick<Handlers, SessionRoute> {
  const { database, wakes } = identity;
  const door = ({ incoming, requestId }: AnyRequest): Door => ({ client: site.clientOf(incoming), requestId });

  /** An act on one's own sessions, which may be in several organizations: as the server, with the caller held. */
  const held = <T>(stranger: Caller, work: (tx: Transaction, caller: Caller) => Promise<T>): Promise<T> =>
    database.transaction(async (tx) => work(tx, await authenticator.hold(stranger, tx)));

  /** Everything a page needs to begin. */
  async function present(caller: Caller, secret: string): Promise<SignedIn> {
    const { userId, organizationId } = requireSession(caller);
    return {
      session: await currentSession(database, caller),
      user: await getMember(database, organizationId, userId),
      organization: await getOrganization(database, organizationId),
      organizations: await reachable(identity, caller),
      csrf_token: site.csrfToken(secret),
    };
  }

  async function entered<N extends Entrance>(
    route: N,
    { incoming }: Pick<AnyRequest, "incoming">,
    { secret, expiresAtMs }: OpenedSession,
  ): Promise<Sent<N>> {
    const body = await present(await authenticator.authenticateSession(secret), secret);
    const headers = { "set-cookie": site.sessionCookie(incoming, secret, expiresAtMs) };
    return { kind: "sent", route, status: 200, text: JSON.stringify(body), headers };
  }

  return {
    "session.signIn": async (request) =>
      entered("session.signIn", request, await signIn(identity, door(request), request.body)),

    "session.get": async ({ caller, incoming }) => present(caller, site.sessionOf(incoming) as string),

    "session.signOut": async (request) => {
      const { caller, requestId, incoming, outgoing } = request;
      await held(caller, (tx, now) => signOut(tx, wakes, now, requestId));
      outgoing.setHeader("set-cookie", site.noSessionCookie(incoming));
    },

    "session.switch": async (request) => {
      const { caller, body } = request;
      return entered(
        "session.switch",
        request,
        await switchOrganization(identity, door(request), caller, body.organization_id),
      );
    },

    "sessions.list": ({ caller, query }) => listSessions(database, caller, query),

    "sessions.end": async ({ caller, params, requestId }) => {
      await held(caller, (tx, now) => revokeSession(tx, wakes, now, params.session_id, requestId));
    },

    "sessions.endAll": async ({ caller, requestId, incoming, outgoing }) => {
      await held(caller, (tx, now) => revokeSessions(tx, wakes, now, requestId));
      outgoing.setHeader("set-cookie", site.noSessionCookie(incoming));
    },

    "password.change": async (request) =>
      entered("password.change", request, await changePassword(identity, door(request), request.caller, request.body)),

    "password.reset": async (request) => {
      await resetPassword(identity, door(request), request.body);
    },

    "passwordLinks.create": (request) =>
      acts.once(request, "password.link", (tx, caller) =>
        createPasswordLink(tx, identity, manageMembers(caller), request.body.user_id, request.requestId),
      ),

    "invitations.preview": (request) => previewInvitation(identity, door(request), request.body.token),

    "invitations.accept": async (request) =>
      entered("invitations.accept", request, await acceptInvitation(identity, door(request), request.body)),
  };
}
