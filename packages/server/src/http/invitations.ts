/** Invitations, for those who make them. */
import { type Acts, manageMembers } from "../access/index.ts";
import {
  createInvitation,
  getInvitation,
  type IdentityWorld,
  listInvitations,
  resendInvitation,
  revokeInvitation,
} from "../identity/index.ts";
import type { Handlers } from "./handler.ts";

export type InvitationRooms = { readonly acts: Acts; readonly identity: IdentityWorld };

type InvitationRoute = `invitations.${"list" | "create" | "get" | "resend" | "revoke"}`;

export function invitationHandlers({ acts, identity }: InvitationRooms): Pick<Handlers, InvitationRoute> {
  const { database } = identity;
  return {
    "invitations.list": async ({ caller, query }) => listInvitations(database, manageMembers(caller), query),

    "invitations.create": (request) =>
      acts.once(request, "invitation.create", (tx, caller) =>
        createInvitation(tx, identity, manageMembers(caller), request.body, request.requestId),
      ),

    "invitations.get": async ({ caller, params }) =>
      getInvitation(database, manageMembers(caller), params.invitation_id),

    "invitations.resend": (request) =>
      acts.once(request, "invitation.resend", (tx, caller) =>
        resendInvitation(tx, identity, manageMembers(caller), request.params.invitation_id, request.requestId),
      ),

    "invitations.revoke": (request) =>
      acts.run(request, "invitation.revoke", request.params.invitation_id, (tx, caller) =>
        revokeInvitation(tx, manageMembers(caller), request.params.invitation_id, request.requestId),
      ),
  };
}
