/** Runs: start and wait, list, cancel, read what was said. */
import { CallboardError, fromUuid, parseId, type Run, type RunTree, toUuid } from "@callboard/protocol";
import {
  audit,
  isAdmin,
  principalId,
  readThread,
  requireScope,
  scopeOf,
  toTarget,
  writeThread,
} from "../access/index.ts";
import { callable, decideOn, planRaw, sendRaw, sendTo, start, startRaw, toWrite, waitForEnd } from "../calls/index.ts";
import {
  callIdOf,
  cancelRun,
  findRun,
  listRuns,
  nest,
  type RunRow,
  readTranscript,
  readTree,
  toRun,
} from "../runs/index.ts";
import { decodeCursor, type Transaction, toPage } from "../storage/index.ts";
import type { ApiRequest, Handlers, Sent } from "./handler.ts";
import type { MayGoOn } from "./open.ts";
import type { World } from "./world.ts";

type OneRun = "runs.get" | "runs.cancel" | "runs.transcript" | "runs.tree";
type RunRoute = "runs.create" | "runs.createRaw" | "runs.list" | OneRun;

export function runHandlers(world: World): Pick<Handlers, RunRoute> {
  const { database } = world;

  /** The run, if the caller may see its thread. */
  async function seen(request: ApiRequest<OneRun>, deed: "read" | "write"): Promise<RunRow> {
    const { caller, requestId } = request;
    const id = parseId("run", request.params.run_id);
    const row = id === undefined ? undefined : await findRun(database, caller.organizationId, id);
    if (row === undefined) throw noRun();
    const facts = await world.threads.facts(caller.organizationId, fromUuid("thread", row.thread_id));
    if (facts === undefined) throw noRun();
    const thing = { action: `thread.${deed}`, target: toRun(row).id, thing: row } as const;
    const { asAdmin } = decideOn(world, request, thing, () =>
      deed === "read" ? readThread(caller, facts) : writeThread(caller, facts),
    );
    if (asAdmin) {
      const action = deed === "read" ? "run.read_as_admin" : "run.cancel_as_admin";
      await audit(database, { actor: { caller }, action, target: toRun(row).id, outcome: "done", requestId });
    }
    return row;
  }

  /** The run once it has ended, or as it is when the client's patience is: for whoever may read it then. */
  function end(request: ApiRequest<RunRoute>, run: Run, afterSeq: number): Promise<Run> {
    const { caller, waitSeconds } = request;
    const mayRead: MayGoOn = async (now) =>
      readThread(now, await world.threads.facts(now.organizationId, run.thread_id));
    return world.open.wait(request, mayRead, ({ signal }) =>
      waitForEnd(database, world.feed, caller.organizationId, run, afterSeq, waitSeconds, signal),
    );
  }

  /** An accepted run: at once, or when it has ended within the time the client waits. */
  async function accepted<N extends "runs.create" | "runs.createRaw">(
    request: ApiRequest<N>,
    run: Run,
    text: string,
    afterSeq: number,
  ): Promise<Sent<N>> {
    if (request.waitSeconds === 0) return { kind: "sent", route: request.route, status: 202, text };
    const ended = await end(request, run, afterSeq);
    return {
      kind: "sent",
      route: request.route,
      status: ended.ended_at === null ? 202 : 200,
      text: JSON.stringify(ended),
    };
  }

  return {
    "runs.create": async (request) => {
      const { caller, body } = request;
      if (body.thread_id !== undefined) return onThread(request, body.thread_id);
      const agent = await callable(world, caller, request.params.agent_id);
      const { answer, text } = await start(world, {
        caller,
        agent,
        attributedTo: undefined,
        content: body.input.content,
        files: [],
        title: null,
        ref: null,
        variables: body.variables,
        metadata: body.metadata ?? {},
        idempotency: request.idempotency,
        present: ({ run }) => ({ status: 202, text: JSON.stringify(run) }),
      });
      return accepted(request, answer.run as Run, text, 0);
    },

    "runs.createRaw": async (request) => {
      const { caller, requestId, body } = request;
      const plan = await planRaw(world, {
        caller,
        requestId,
        messages: body.messages,
        config: body.config,
        agent: body.agent_id,
        thread: body.thread_id,
        variables: body.variables,
      });
      if (plan.thread === null) {
        const { run, text } = await startRaw(world, plan, body.metadata ?? {}, request.idempotency);
        return accepted(request, run, text, 0);
      }
      const sent = await request.once((tx) => sendRaw(world, tx, plan));
      return accepted(request, JSON.parse(sent.text) as Run, sent.text, plan.thread.lastSeq);
    },

    "runs.list": async ({ caller, query, requestId }) => {
      requireScope(caller, "threads:read");
      const agent = query.agent_id === undefined ? undefined : await world.agents.facts(caller, query.agent_id);
      const thread = query.thread_id === undefined ? undefined : parseId("thread", query.thread_id);
      const parent = query.parent_run_id === undefined ? undefined : parseId("run", query.parent_run_id);
      // A filter that names nothing there is matches nothing.
      if (
        (query.agent_id !== undefined && agent === undefined) ||
        (query.thread_id !== undefined && thread === undefined) ||
        (query.parent_run_id !== undefined && parent === undefined)
      ) {
        return { data: [], next_cursor: null };
      }
      if (isAdmin(caller)) {
        const target = toTarget(query.thread_id ?? query.agent_id);
        const action = "run.list_as_admin";
        await audit(database, { actor: { caller }, action, target, outcome: "done", requestId });
      }
      const rows = await listRuns(database, {
        organization: toUuid(caller.organizationId),
        principal: isAdmin(caller) ? null : toUuid(principalId(caller)),
        agents: caller.agentIds === null ? null : [...caller.agentIds].map(toUuid),
        state: query.state ?? null,
        agent: agent === undefined ? null : toUuid(agent.id),
        thread: thread === undefined ? null : toUuid(thread),
        parent: parent === undefined ? null : toUuid(parent),
        before: decodeCursor(query.cursor, "uuid") ?? null,
        limit: query.limit + 1,
      });
      return toPage(rows, query.limit, (row) => row.id, toRun);
    },

    "runs.get": async (request) => {
      const row = await seen(request, "read");
      return request.waitSeconds === 0 ? toRun(row) : end(request, toRun(row), row.queued_seq);
    },

    "runs.cancel": async (request) => {
      const row = await seen(request, "write");
      const { caller } = request;
      const [thread, run] = [fromUuid("thread", row.thread_id), fromUuid("run", row.id)];
      const cancel = (tx: Transaction) => cancelRun(tx, world, caller, thread, run);
      return toRun(await database.tenant(scopeOf(caller), cancel));
    },

    "runs.tree": async (request) => {
      const row = await seen(request, "read");
      const rows = await readTree(database, row.organization_id, row.id);
      const tree = nest<RunTree>(rows, (one, children) => ({
        run: toRun(one),
        agent_slug: one.agent_slug,
        call_id: one.id === row.id ? null : callIdOf(one),
        children,
      }));
      if (tree === undefined) throw noRun(); // deleted meanwhile
      return tree;
    },

    "runs.transcript": async (request) => {
      requireScope(request.caller, "transcripts:read");
      return readTranscript(database, world.keys, await seen(request, "read"));
    },
  };

  /** A further run on a thread of this agent. */
  async function onThread(request: ApiRequest<"runs.create">, threadId: string): Promise<Sent<"runs.create">> {
    const { caller, body } = request;
    const { id } = await toWrite(world, request, threadId);
    const agent = await callable(world, caller, request.params.agent_id);
    const facts = await world.threads.row(caller.organizationId, id);
    if (facts?.agent_id !== toUuid(agent.agentId))
      throw new CallboardError("not_found", "there is no such thread for this caller");
    const message = { type: "user.message" as const, content: body.input.content, on_active_run: body.on_active_run };
    const sent = await request.once(async (tx) => {
      const { events } = await sendTo(world, tx, caller, id, [message], { variables: body.variables });
      return events[0]?.run as Run;
    });
    return accepted(request, JSON.parse(sent.text) as Run, sent.text, facts.last_seq);
  }
}

const noRun = () => new CallboardError("not_found", "there is no such run for this caller");
