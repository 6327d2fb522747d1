/**
 * Signing in, for pages served by the server itself: the session is a cookie that scripts never see.
 *
 * Everything but GET needs the header `X-CSRF-Token` then, with the `csrf_token` of `session.get`.
 */
import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";

export function sessionCalls({ call }: Transport) {
  return {
    /** Signs in with email and password. */
    signIn: (body: RouteBodyInput<"session.signIn">, options?: RequestOptions) =>
      call("session.signIn", { body, ...options }),

    /** Who is signed in, and the session's CSRF token. */
    get: (options?: RequestOptions) => call("session.get", { ...options }),

    signOut: (options?: RequestOptions) => call("session.signOut", { ...options }),

    /** Goes on in another organization; the CSRF token is another one then. */
    switch: (body: RouteBodyInput<"session.switch">, options?: RequestOptions) =>
      call("session.switch", { body, ...options }),
  };
}

export function sessionListCalls({ call }: Transport) {
  return {
    list: (query?: QueryInput<"sessions.list">, options?: RequestOptions) =>
      call("sessions.list", { query, ...options }),

    end: (sessionId: string, options?: RequestOptions) =>
      call("sessions.end", { params: { session_id: sessionId }, ...options }),

    /** Signs out everywhere. */
    endAll: (options?: RequestOptions) => call("sessions.endAll", { ...options }),
  };
}

export function passwordCalls({ call }: Transport) {
  return {
    /** Changes one's own password; all other sessions end. */
    change: (body: RouteBodyInput<"password.change">, options?: RequestOptions) =>
      call("password.change", { body, ...options }),

    /** Sets a password with a one-time link. */
    reset: (body: RouteBodyInput<"password.reset">, options?: RequestOptions) =>
      call("password.reset", { body, ...options }),
  };
}

export function passwordLinkCalls({ call }: Transport) {
  return {
    /** Makes a one-time link for a member; it is in this answer and nowhere else. */
    create: (body: RouteBodyInput<"passwordLinks.create">, options?: CreateOptions) =>
      call("passwordLinks.create", { body, ...options }),
  };
}

export function invitationCalls({ call }: Transport) {
  return {
    list: (query?: QueryInput<"invitations.list">, options?: RequestOptions) =>
      call("invitations.list", { query, ...options }),

    /** Invites somebody; the link is in this answer and nowhere else. */
    create: (body: RouteBodyInput<"invitations.create">, options?: CreateOptions) =>
      call("invitations.create", { body, ...options }),

    get: (invitationId: string, options?: RequestOptions) =>
      call("invitations.get", { params: { invitation_id: invitationId }, ...options }),

    /** Makes another link; the old one ends. */
    resend: (invitationId: string, options?: CreateOptions) =>
      call("invitations.resend", { params: { invitation_id: invitationId }, ...options }),

    revoke: (invitationId: string, options?: RequestOptions) =>
      call("invitations.revoke", { params: { invitation_id: invitationId }, ...options }),

    /** Who invites, into which organization, for which address; the link stays good. */
    preview: (body: RouteBodyInput<"invitations.preview">, options?: RequestOptions) =>
      call("invitations.preview", { body, ...options }),

    /** Accepts with a password, and is signed in. */
    accept: (body: RouteBodyInput<"invitations.accept">, options?: RequestOptions) =>
      call("invitations.accept", { body, ...options }),
  };
}

export function ssoConnectionCalls({ call }: Transport) {
  return {
    list: (query?: QueryInput<"ssoConnections.list">, options?: RequestOptions) =>
      call("ssoConnections.list", { query, ...options }),

    create: (body: RouteBodyInput<"ssoConnections.create">, options?: CreateOptions) =>
      call("ssoConnections.create", { body, ...options }),

    get: (connectionId: string, options?: RequestOptions) =>
      call("ssoConnections.get", { params: { connection_id: connectionId }, ...options }),

    update: (connectionId: string, body: RouteBodyInput<"ssoConnections.update">, options?: RequestOptions) =>
      call("ssoConnections.update", { params: { connection_id: connectionId }, body, ...options }),

    delete: (connectionId: string, options?: RequestOptions) =>
      call("ssoConnections.delete", { params: { connection_id: connectionId }, ...options }),
  };
}
