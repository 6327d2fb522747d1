/** Who is asking, the organization, its members and groups, and the audit log. */
import type { TokenId } from "@callboard/protocol";
import {
  type AccessWakes,
  type Acts,
  addMember,
  auditHead,
  checkAudit,
  createGroup,
  deleteGroup,
  getMember,
  getOrganization,
  listAudit,
  listGroups,
  listMembers,
  manageMembers,
  manageOrganization,
  readAudit,
  readMembers,
  removeMember,
  updateGroup,
  updateMember,
  updateOrganization,
} from "../access/index.ts";
import type { Sql } from "../storage/index.ts";
import type { Handlers } from "./handler.ts";

export type OrganizationRooms = {
  readonly sql: Sql;
  readonly acts: Acts;
  readonly wakes: Pick<AccessWakes, "send">;
};

type OrganizationRoute =
  | "me.get"
  | "organization.get"
  | "organization.update"
  | "members.list"
  | "members.add"
  | "members.update"
  | "members.remove"
  | "groups.list"
  | "groups.create"
  | "groups.update"
  | "groups.delete"
  | "audit.list"
  | "audit.head"
  | "audit.verify";

export function organizationHandlers({ sql, acts, wakes }: OrganizationRooms): Pick<Handlers, OrganizationRoute> {
  return {
    "me.get": async ({ caller }) => ({
      organization: await getOrganization(sql, caller.organizationId),
      kind: caller.kind,
      user: caller.userId === null ? null : await getMember(sql, caller.organizationId, caller.userId),
      token_id: caller.session === undefined ? (caller.tokenId as TokenId) : null,
      session_id: caller.session?.id ?? null,
      scopes: [...caller.scopes],
    }),

    "organization.get": ({ caller }) => getOrganization(sql, caller.organizationId),

    "organization.update": (request) =>
      acts.run(request, "organization.update", request.caller.organizationId, (tx, caller) =>
        updateOrganization(tx, wakes, manageOrganization(caller), request.body, request.requestId),
      ),

    "members.list": async ({ caller, query }) => listMembers(sql, readMembers(caller), query),

    "members.add": (request) =>
      acts.once(request, "member.add", (tx, caller) =>
        addMember(tx, wakes, manageMembers(caller), request.body, request.requestId),
      ),

    "members.update": (request) =>
      acts.run(request, "member.update", request.params.user_id, (tx, caller) =>
        updateMember(tx, wakes, manageMembers(caller), request.params.user_id, request.body, request.requestId),
      ),

    "members.remove": async (request) => {
      await acts.run(request, "member.remove", request.params.user_id, (tx, caller) =>
        removeMember(tx, wakes, manageMembers(caller), request.params.user_id, request.requestId),
      );
    },

    "groups.list": async ({ caller, query }) => listGroups(sql, readMembers(caller), query),

    "groups.create": (request) =>
      acts.once(request, "group.create", (tx, caller) =>
        createGroup(tx, wakes, manageMembers(caller), request.body, request.requestId),
      ),

    "groups.update": (request) =>
      acts.run(request, "group.update", request.params.group_id, (tx, caller) =>
        updateGroup(tx, wakes, manageMembers(caller), request.params.group_id, request.body, request.requestId),
      ),

    "groups.delete": async (request) => {
      await acts.run(request, "group.delete", request.params.group_id, (tx, caller) =>
        deleteGroup(tx, wakes, manageMembers(caller), request.params.group_id, request.requestId),
      );
    },

    "audit.list": async ({ caller, query }) => listAudit(sql, readAudit(caller), query),
    "audit.head": async ({ caller }) => auditHead(sql, readAudit(caller).organizationId),
    "audit.verify": async ({ caller, query }) => checkAudit(sql, readAudit(caller).organizationId, query.anchor),
  };
}
