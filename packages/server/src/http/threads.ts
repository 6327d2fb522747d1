/** Threads and their logs. */
import { CallboardError, fromUuid, isTerminal, parseId, type RunId, toUuid } from "@callboard/protocol";
import {
  audit,
  type Caller,
  isAdmin,
  principalId,
  readThread,
  requireScope,
  scopeOf,
  seeAgent,
} from "../access/index.ts";
import { callable, sendTo, start, toRead, toWrite } from "../calls/index.ts";
import { eventPage, findEndOfRun, type LogKey } from "../events/index.ts";
import { findRun, removeThread, setArchived, toRun, updateThread } from "../runs/index.ts";
import { decodeCursor, encodeCursor, type Transaction, toPage } from "../storage/index.ts";
import { findThread, listThreads, threadLinks, toThread } from "../threads/index.ts";
import type { ApiRequest, Handlers } from "./handler.ts";
import type { MayGoOn } from "./open.ts";
import { lastEventId, type Source } from "./sse.ts";
import type { World } from "./world.ts";

type ThreadRoute =
  | "threads.create"
  | "threads.list"
  | "threads.get"
  | "threads.update"
  | "threads.archive"
  | "threads.unarchive"
  | "threads.delete"
  | "events.send"
  | "events.list"
  | "events.stream";

export function threadHandlers(world: World): Pick<Handlers, ThreadRoute> {
  const { database } = world;

  return {
    "threads.create": async (request) => {
      const { caller, body } = request;
      const agent = await callable(world, caller, request.params.agent_id);
      const { text } = await start(world, {
        caller,
        agent,
        attributedTo: body.attributed_user_id,
        content: body.input?.content ?? null,
        files: body.files ?? [],
        title: body.title ?? null,
        ref: body.client_external_ref ?? null,
        variables: body.variables,
        metadata: body.metadata ?? {},
        idempotency: request.idempotency,
        present: (answer) => ({ status: 201, text: JSON.stringify(answer) }),
      });
      return { kind: "sent", route: request.route, status: 201, text };
    },

    "threads.list": async ({ caller, params, query, requestId }) => {
      requireScope(caller, "threads:read");
      const agent = seeAgent(caller, await world.agents.facts(caller, params.agent_id));
      const attributed = query.attributed_user_id === undefined ? undefined : parseId("user", query.attributed_user_id);
      // An id that is none names nobody's threads.
      if (query.attributed_user_id !== undefined && attributed === undefined) return { data: [], next_cursor: null };
      if (isAdmin(caller)) {
        const action = "thread.list_as_admin";
        await audit(database, { actor: { caller }, action, target: agent.id, outcome: "done", requestId });
      }
      const rows = await listThreads(database, {
        organization: toUuid(caller.organizationId),
        agent: toUuid(agent.id),
        principal: isAdmin(caller) ? null : toUuid(principalId(caller)),
        state: query.state ?? null,
        archived: query.archived ?? null,
        ref: query.client_external_ref ?? null,
        attributed: attributed === undefined ? null : toUuid(attributed),
        children: query.children,
        before: decodeCursor(query.cursor, "uuid") ?? null,
        limit: query.limit + 1,
      });
      return toPage(rows, query.limit, (row) => row.id, toThread);
    },

    "threads.get": async (request) => {
      const { id } = await toRead(world, request, request.params.thread_id);
      const { organizationId } = request.caller;
      const row = await findThread(database, organizationId, id);
      if (row === undefined) throw gone();
      const run =
        row.last_run_id === null
          ? undefined
          : await findRun(database, organizationId, fromUuid("run", row.last_run_id));
      return { thread: toThread(row), run: run === undefined ? null : toRun(run), links: threadLinks(id) };
    },

    "threads.update": async (request) => {
      const { id } = await toWrite(world, request, request.params.thread_id);
      return database.tenant(scopeOf(request.caller), (tx) =>
        updateThread(tx, world, request.caller, id, request.body),
      );
    },

    "threads.archive": (request) => archive(world, request, true),
    "threads.unarchive": (request) => archive(world, request, false),

    "threads.delete": async (request) => {
      const { caller, requestId } = request;
      const { id } = await toWrite(world, request, request.params.thread_id);
      const gone = await database.tenant(scopeOf(caller), async (tx) => {
        const removed = await removeThread(tx, world, caller, id);
        await audit(tx, { actor: { caller }, action: "thread.delete", target: id, outcome: "done", requestId });
        return removed;
      });
      for (const thread of gone) world.threads.forget(caller.organizationId, thread);
      return undefined;
    },

    "events.send": async (request) => {
      const { caller, body, requestId } = request;
      const { id } = await toWrite(world, request, request.params.thread_id);
      const send = (tx: Transaction) => sendTo(world, tx, caller, id, body.events, { requestId });
      if (!body.events.some(({ type }) => type === "permission.decision")) return request.once(send);
      return world.acts.audited(request, "permission.decide", null, () => request.once(send));
    },

    "events.list": async (request) => {
      const { query } = request;
      const key = await toRead(world, request, request.params.thread_id);
      const after = decodeCursor(query.cursor, "integer");
      const afterSeq = after === undefined ? query.after_seq : Number(after);
      const page = await eventPage(database, key, afterSeq, query.limit, query.types);
      if (page === undefined) {
        world.threads.forget(request.caller.organizationId, key.id);
        throw gone();
      }
      const next = page.more ? `"${encodeCursor(page.last)}"` : "null";
      const text = `{"data":[${page.text}],"next_cursor":${next},"last_seq":${page.lastSeq}}`;
      return { kind: "sent", route: request.route, status: 200, text };
    },

    "events.stream": async (request) => {
      const key = await toRead(world, request, request.params.thread_id);
      const afterSeq = lastEventId(request.headers) ?? request.query.after_seq ?? 0;
      const { until_run: untilRun } = request.query;
      if (untilRun !== undefined && (await hasPassed(world, request.caller, key, untilRun, afterSeq))) {
        world.streams.openEnded(request.outgoing);
      } else {
        const source: Source = (reader) => world.feed.follow(key, afterSeq, reader);
        const facts = await world.threads.facts(request.caller.organizationId, request.params.thread_id);
        const mayRead: MayGoOn = (now) => readThread(now, facts);
        world.streams.open(request.outgoing, request.caller, mayRead, source, untilRun);
      }
      return { kind: "streamed" };
    },
  };
}

const gone = () => new CallboardError("not_found", "there is no such thread for this caller");

/** Whether a run's last event is behind the reader. @throws not_found for a run that is not in the thread */
async function hasPassed(world: World, caller: Caller, key: LogKey, runId: RunId, afterSeq: number): Promise<boolean> {
  if (world.feed.hasTail(key)) return false; // its first run is under way in this process
  const run = await findRun(world.database, caller.organizationId, runId);
  if (run?.thread_id !== key.thread) throw new CallboardError("not_found", "there is no such run for this caller");
  if (!isTerminal(run.state)) return false;
  const end = await findEndOfRun(world.database, key, run.id, run.queued_seq);
  return end === undefined || end <= afterSeq;
}

async function archive(world: World, request: ApiRequest<"threads.archive" | "threads.unarchive">, archived: boolean) {
  const { caller } = request;
  const { id } = await toWrite(world, request, request.params.thread_id);
  const by = { kind: caller.kind, id: principalId(caller) };
  return world.database.tenant(scopeOf(caller), (tx) => setArchived(tx, world, caller, id, archived, by));
}
