/**
 * What a caller sends to a thread: messages, permission decisions, interrupts. All or nothing, in order,
 * in one transaction that holds the thread row.
 */
import {
  CallboardError,
  type ClientEvent,
  type ContentPart,
  fromUuid,
  newId,
  type OnActiveRun,
  type RequestId,
  type RunId,
  type SendEventsAnswer,
  toUuid,
} from "@callboard/protocol";
import { type Caller, principalId, steerRun } from "../access/index.ts";
import type { Feed } from "../events/index.ts";
import type { Transaction, Wakes } from "../storage/index.ts";
import { toThread } from "../threads/index.ts";
import type { RunsAtOnce } from "./at-once.ts";
import type { Claim } from "./claim.ts";
import { decide, tellDecided } from "./decide.ts";
import { endRun } from "./end.ts";
import type { RunHost } from "./host.ts";
import { keyOf, type Principal, type RunInput, type RunRow, runError, toRun } from "./run.ts";
import { findRun, insertRun, insertSteering } from "./store.ts";
import type { ThreadLog } from "./thread-log.ts";

export type SendDeps = { feed: Feed; host: RunHost; atOnce: RunsAtOnce; wakes: Wakes };

export type SendRequest = {
  caller: Caller;
  /** Null where no request asks: a job that is run again. */
  requestId: RequestId | null;
  principal: Principal;
  /** Renders the prompt of runs that these messages start. */
  prompt: string;
  /** Of a raw run; null for the agent's own. */
  config: unknown;
  /** What was said before, in a raw run. */
  history: RunInput[];
  /** Attaches files named in a message; throws file_not_attachable. */
  attach: (content: readonly ContentPart[], log: ThreadLog) => Promise<void>;
};

type Sent = SendEventsAnswer["events"][number];

/** Applies the events to a locked thread and saves it. */
export async function sendEvents(
  tx: Transaction,
  deps: SendDeps,
  log: ThreadLog,
  request: SendRequest,
  events: readonly ClientEvent[],
): Promise<SendEventsAnswer> {
  const sender = new Sender(tx, deps, log, request);
  const sent: Sent[] = [];
  for (const [index, event] of events.entries()) sent.push(await sender.apply(event, index));
  await sender.finish();
  return { thread: toThread(log.row), events: sent };
}

class Sender {
  readonly #tx: Transaction;
  readonly #deps: SendDeps;
  readonly #log: ThreadLog;
  readonly #request: SendRequest;
  /** A run these events started that this process may claim in the same commit. */
  #started: RunRow | undefined;
  #queued = false;

  constructor(tx: Transaction, deps: SendDeps, log: ThreadLog, request: SendRequest) {
    this.#tx = tx;
    this.#deps = deps;
    this.#log = log;
    this.#request = request;
  }

  apply(event: ClientEvent, index: number): Promise<Sent> {
    switch (event.type) {
      case "user.message":
        return this.message(event.content, event.on_active_run);
      case "permission.decision":
        return this.#decide(event, index);
      case "user.interrupt":
        return this.#interrupt(event.run_id);
      default:
        return event satisfies never;
    }
  }

  async finish(): Promise<void> {
    const { feed, host, wakes } = this.#deps;
    await this.#log.save(feed);
    const started = this.#started;
    if (started !== undefined) {
      const claim: Claim = { key: keyOf(started), fence: started.fence, row: started };
      this.#tx.after(() => host.adopt(claim));
    }
    if (this.#queued) this.#tx.after(() => wakes.send("queue", ""));
  }

  async message(content: ContentPart[], onActive: OnActiveRun): Promise<Sent> {
    const log = this.#log;
    if (log.row.archived) {
      throw new CallboardError("thread_archived", `thread ${fromUuid("thread", log.row.id)} is archived`);
    }
    await this.#request.attach(content, log);
    const active = await this.#activeRun();
    const busy = active !== undefined || log.row.queued > 0;
    if (busy && onActive === "reject") {
      const name = active === undefined ? "a queued run" : `run ${fromUuid("run", active.id)}`;
      throw new CallboardError("run_active", `thread ${fromUuid("thread", log.row.id)} has ${name}`);
    }
    if (active !== undefined && onActive === "steer") return this.#steer(active, content);
    if (active !== undefined && onActive === "interrupt") {
      await this.#end(active, "interrupted", "a later message took the run's place");
    }
    return this.#start(content, onActive === "interrupt" ? "interrupt" : "message");
  }

  async #start(content: ContentPart[], trigger: "message" | "interrupt"): Promise<Sent> {
    const { caller, principal, prompt, config, history } = this.#request;
    const { host, atOnce } = this.#deps;
    if (!atOnce.admits(caller)) await atOnce.require(this.#tx, caller);
    const log = this.#log;
    const thread = log.row;
    const id = newId("run", Date.parse(log.at));
    const run = toUuid(id);
    const sentBy = { kind: caller.kind, id: principalId(caller) };
    const message = log.append("user.message", run, { content, sent_by: sentBy });
    const queued = log.append("run.queued", run, { agent_version: thread.agent_version });
    const free = thread.active_run_id === null && thread.queued === 0;
    const worker = free && host.hasRoom() ? host.worker() : null;
    const row: RunRow = {
      organization_id: thread.organization_id,
      id: run,
      thread_id: thread.id,
      agent_id: thread.agent_id,
      agent_version: thread.agent_version,
      parent_run_id: null,
      parent_call_id: null,
      depth: 0,
      limits: null,
      state: worker === null ? "queued" : "running",
      trigger: config === null ? trigger : "raw",
      attempt: worker === null ? 0 : 1,
      crashes: 0,
      fence: 1,
      lease_owner: worker,
      running_ms: 0,
      principal,
      config,
      prompt,
      variables: thread.variables,
      input: [...history, { content, seq: message.seq }],
      queued_seq: queued.seq,
      input_tokens: 0,
      output_tokens: 0,
      cost_micros: 0,
      result: null,
      error: null,
      waiting_for: null,
      created_at: log.at,
      started_at: worker === null ? null : log.at,
      ended_at: null,
    };
    await insertRun(this.#tx, row);
    thread.last_run_id = run;
    thread.state = thread.state === "waiting" && thread.active_run_id !== null ? "waiting" : "running";
    if (free) {
      thread.active_run_id = run;
      thread.active_fence = 1;
      thread.steered = 0;
    } else thread.queued++;
    if (worker !== null) {
      log.append("run.started", run, { attempt: 1 });
      this.#started = row;
    } else this.#queued = true;
    return { type: "user.message", event_id: message.id as never, seq: message.seq, run: toRun(row) };
  }

  async #steer(active: RunRow, content: ContentPart[]): Promise<Sent> {
    const { caller, principal } = this.#request;
    steerRun(principal, active.principal);
    const log = this.#log;
    const sentBy = { kind: caller.kind, id: principalId(caller) };
    const message = log.append("user.message", active.id, { content, sent_by: sentBy });
    log.row.steered++;
    const number = log.row.steered;
    await insertSteering(this.#tx, active.organization_id, active.id, number, { content, seq: message.seq });
    this.#tx.after(() => this.#deps.wakes.send("steer", `${active.id}/${number}`));
    return { type: "user.message", event_id: message.id as never, seq: message.seq, run: toRun(active) };
  }

  async #interrupt(runId: RunId | undefined): Promise<Sent> {
    const active = await this.#activeRun();
    if (active === undefined || (runId !== undefined && active.id !== toUuid(runId))) {
      const wanted = runId === undefined ? "an active run" : `the active run ${runId}`;
      throw new CallboardError(
        "no_active_run",
        `thread ${fromUuid("thread", this.#log.row.id)} does not have ${wanted}`,
      );
    }
    const ended = await this.#end(active, "canceled", "an interrupt was sent");
    return { type: "user.interrupt", event_id: ended.event.id as never, seq: ended.event.seq, run: toRun(ended.row) };
  }

  async #decide(
    { permission_id: permissionId, ...decision }: Extract<ClientEvent, { type: "permission.decision" }>,
    index: number,
  ): Promise<Sent> {
    const { caller, requestId } = this.#request;
    const path = `events[${index}].`;
    const decided = await decide(this.#tx, this.#log, { caller, requestId, permissionId, decision, path });
    // Each event that is sent has an entry of its own in the log, so a repeat is none.
    if (decided === "same") {
      throw new CallboardError("permission_decided", `permission request ${permissionId} is decided already`);
    }
    const { event, run, queued } = decided;
    tellDecided(this.#tx, this.#deps.wakes, this.#log, false);
    this.#queued ||= queued;
    return { type: "permission.decision", event_id: event.id as never, seq: event.seq, run: toRun(run) };
  }

  async #end(
    active: RunRow,
    code: "interrupted" | "canceled",
    message: string,
  ): Promise<{ row: RunRow; event: { id: string; seq: number } }> {
    const row = await endRun(this.#tx, this.#log, active, "canceled", runError(code, message));
    if (this.#started?.id === active.id) this.#started = undefined;
    const { host, wakes } = this.#deps;
    this.#tx.after(() => {
      host.drop(active.id);
      wakes.tell("signal", active.id);
    });
    if (this.#log.row.queued > 0) this.#queued = true;
    return { row, event: this.#log.last };
  }

  async #activeRun(): Promise<RunRow | undefined> {
    const { organization_id, active_run_id } = this.#log.row;
    if (active_run_id === null) return undefined;
    if (this.#started?.id === active_run_id) return this.#started;
    return findRun(this.#tx, fromUuid("organization", organization_id), fromUuid("run", active_run_id));
  }
}
