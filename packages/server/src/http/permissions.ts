/** Permissions: the inbox of those who are asked, and their decisions. */
import {
  CallboardError,
  fromUuid,
  type Permission,
  type PermissionId,
  parseId,
  type RequestId,
  type RouteAnswer,
  type RouteQuery,
  toUuid,
} from "@callboard/protocol";
import { audit, type Caller, isAdmin, listPermissions, mayDecide, readPermission, scopeOf } from "../access/index.ts";
import { agentsOwnedBy } from "../agents/index.ts";
import { decideOn, waitForEvent } from "../calls/index.ts";
import {
  decideById,
  findPermission,
  type PermissionFilter,
  type PermissionRow,
  permissionFacts,
  permissionRows,
  toPermission,
  toPermissionFacts,
} from "../runs/index.ts";
import { decodeCursor, LAST_UUID, toPage } from "../storage/index.ts";
import { findThread, toFacts, toThread } from "../threads/index.ts";
import type { Handlers } from "./handler.ts";
import { InboxWatch } from "./inbox.ts";
import type { World } from "./world.ts";

type PermissionRoute = "permissions.list" | "permissions.get" | "permissions.decide";
type Asked = { caller: Caller; requestId: RequestId };
type Found = { row: PermissionRow; asAdmin: boolean; lastSeq: number; shown: Permission };

export function permissionHandlers(world: World): Pick<Handlers, PermissionRoute> {
  const { database } = world;

  /** A page of the inbox. */
  async function page(caller: Caller, query: RouteQuery<"permissions.list">): Promise<RouteAnswer<"permissions.list">> {
    const agent = query.agent_id === undefined ? undefined : await world.agents.facts(caller, query.agent_id);
    const thread = query.thread_id === undefined ? undefined : parseId("thread", query.thread_id);
    // A filter that names nothing there is matches nothing.
    if (
      (query.agent_id !== undefined && agent === undefined) ||
      (query.thread_id !== undefined && thread === undefined)
    ) {
      return { data: [], next_cursor: null };
    }
    return database.tenant(scopeOf(caller), async (tx) => {
      const { userId, organizationId } = caller;
      const ownAgents = userId === null ? [] : await agentsOwnedBy(tx, organizationId, userId);
      const rows = await permissionRows(tx, {
        organization: toUuid(organizationId),
        reader: readerOf(caller, ownAgents),
        state: query.state ?? null,
        agent: agent === undefined ? null : toUuid(agent.id),
        thread: thread === undefined ? null : toUuid(thread),
        before: decodeCursor(query.cursor, "uuid") ?? LAST_UUID,
        limit: query.limit + 1,
      });
      const present = (row: PermissionRow): Permission => {
        const ownerId = row.agent_id !== null && ownAgents.includes(row.agent_id) ? userId : null;
        return toPermission(row, mayDecide(caller, toPermissionFacts(row, ownerId)));
      };
      return toPage(rows, query.limit, (row) => row.id, present);
    });
  }

  /** The request, if the caller may see it; `lastSeq` is a place in its thread's log before a decision to come. */
  function find({ caller, requestId }: Asked, text: string): Promise<Found> {
    const id = parseId("permission", text);
    return database.tenant(scopeOf(caller), async (tx) => {
      const known = id && (await findPermission(tx, toUuid(caller.organizationId), toUuid(id)));
      const thread = known && (await findThread(tx, caller.organizationId, fromUuid("thread", known.thread_id)));
      const row = known && (await findPermission(tx, known.organization_id, known.id)); // not older than the thread
      const facts = row && (await permissionFacts(tx, row));
      const thing = { action: "permission.read", target: text, thing: row } as const;
      const { asAdmin } = decideOn(world, { caller, requestId }, thing, () =>
        readPermission(caller, facts, thread && toFacts(toThread(thread))),
      );
      if (row === undefined || facts === undefined || thread === undefined) throw noPermission(); // refused already
      return { row, asAdmin, lastSeq: thread.last_seq, shown: toPermission(row, mayDecide(caller, facts)) };
    });
  }

  return {
    "permissions.list": async (request) => {
      let { caller } = request;
      const until = performance.now() + request.waitSeconds * 1000;
      return world.open.wait(request, listPermissions, async ({ signal }) => {
        const watch = request.waitSeconds === 0 ? undefined : new InboxWatch(world.wakes, caller.organizationId);
        try {
          for (;;) {
            listPermissions(caller);
            const found = await page(caller, request.query);
            const leftMs = until - performance.now();
            if (watch === undefined || found.data.length > 0 || leftMs <= 0 || signal.aborted) return found;
            await watch.next(leftMs, signal);
            caller = await world.authenticator.refresh(caller); // whose rights may end while it waits
          }
        } finally {
          watch?.close();
        }
      });
    },

    "permissions.get": async (request) => {
      const { caller, params, requestId, waitSeconds } = request;
      const { row, asAdmin, lastSeq, shown } = await find(request, params.permission_id);
      if (asAdmin) {
        const entry = { actor: { caller }, target: shown.id, outcome: "done", requestId } as const;
        await audit(database, { ...entry, action: "permission.read_as_admin" });
      }
      if (shown.state !== "pending" || waitSeconds === 0) return shown;
      const key = { organization: row.organization_id, thread: row.thread_id };
      const isDecision = ({ type, body }: { type: string; body: string }) =>
        type === "permission.decided" && body.includes(`"permission_id":"${shown.id}"`);
      const mayGoOn = (now: Caller) => find({ caller: now, requestId }, params.permission_id);
      await world.open.wait(request, mayGoOn, ({ signal }) =>
        waitForEvent(world.feed, key, lastSeq, isDecision, waitSeconds, signal),
      );
      const later = { caller: await world.authenticator.refresh(caller), requestId };
      return (await find(later, params.permission_id)).shown;
    },

    "permissions.decide": async (request) => {
      const { caller, params, requestId, body: decision } = request;
      const permissionId = parseId("permission", params.permission_id);
      if (permissionId === undefined) throw noPermission();
      try {
        return await world.acts.audited(request, "permission.decide", permissionId, () =>
          database.tenant(scopeOf(caller), (tx) =>
            decideById(tx, world, { caller, requestId, permissionId, decision, path: "" }),
          ),
        );
      } catch (error) {
        if (error instanceof CallboardError && error.code === "not_found") void noteHidden(request, permissionId);
        throw error;
      }
    },
  };

  /** That a request which is there stays hidden from who would decide it is audited, and not waited for. */
  async function noteHidden({ caller, requestId }: Asked, id: PermissionId): Promise<void> {
    const row = await findPermission(database, toUuid(caller.organizationId), toUuid(id)).catch(() => undefined);
    const refusal = {
      actor: { caller },
      action: "permission.decide",
      target: id,
      code: "not_found",
      requestId,
    } as const;
    if (row !== undefined) await world.refusals.note(refusal);
  }
}

function readerOf(caller: Caller, ownAgents: readonly string[]): PermissionFilter["reader"] {
  if (caller.userId === null) {
    return { token: toUuid(caller.tokenId), agents: [...(caller.agentIds ?? [])].map(toUuid) };
  }
  const names = [...caller.groups.map(({ slug }) => `group:${slug}`), ...(isAdmin(caller) ? ["admins"] : [])];
  return { user: toUuid(caller.userId), ownAgents, names };
}

const noPermission = () => new CallboardError("not_found", "there is no such permission request for this caller");
