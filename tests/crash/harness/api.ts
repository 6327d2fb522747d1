/** A caller of the public API that knows several processes. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Event, isTerminal, type Run } from "@callboard/protocol";
import { pick } from "./form.ts";
import type { ServerProcess } from "./server-process.ts";

export type Answer = { status: number; text: string; headers: Headers };

/** The log as the list gives it: the events' JSON texts, joined by commas, and what they say. */
export type Log = { text: string; events: Event[] };

const PAGE = 1000;
const PATIENCE_MS = 300_000;
/** For one answer; a paused process gives none. */
const ANSWER_MS = 60_000;

export class Api {
  readonly #servers: readonly ServerProcess[];
  readonly token: string;

  constructor(servers: readonly ServerProcess[], token: string) {
    this.#servers = servers;
    this.token = token;
  }

  /** A process that runs, as a load balancer would choose it; while none does, any. */
  #any(): ServerProcess {
    const running = this.#servers.filter((server) => server.isRunning);
    return pick(running.length === 0 ? this.#servers : running);
  }

  /** One request to one process. Throws when there is no answer. */
  async request(
    server: ServerProcess,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const answer = await fetch(`${server.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json", ...headers },
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  }

  /** A request that must succeed at once. */
  async send<T>(method: string, path: string, body?: unknown, on = this.#servers[0] as ServerProcess): Promise<T> {
    return parsed(await this.request(on, method, path, body), `${method} ${path}`);
  }

  /**
   * A request as a careful client makes it: with an idempotency key, tried at the other processes until one
   * answers. Gives up on any answer that is not a success or `503 unavailable`.
   *
   * @param first the process to try first; default any
   */
  async insist<T>(method: string, path: string, body?: unknown, first?: ServerProcess): Promise<T> {
    const headers = method === "POST" ? { "idempotency-key": randomUUID() } : {};
    const deadline = Date.now() + PATIENCE_MS;
    let problem: unknown;
    for (let server = first ?? this.#any(); Date.now() < deadline; server = this.#any()) {
      try {
        const answer = await this.request(server, method, path, body, headers);
        if (answer.status !== 503) return parsed<T>(answer, `${method} ${path}`);
        problem = answer.text;
      } catch (error) {
        if (error instanceof WrongAnswer) throw error;
        problem = error;
      }
      await sleep(50);
    }
    throw new Error(`${method} ${path}: no process answered within ${PATIENCE_MS} ms`, { cause: problem });
  }

  /** The whole log of a thread. */
  async log(threadId: string, on?: ServerProcess): Promise<Log> {
    const texts: string[] = [];
    const events: Event[] = [];
    for (;;) {
      const path = `/threads/${threadId}/events?limit=${PAGE}&after_seq=${events.at(-1)?.seq ?? 0}`;
      const text = await this.#text(path, on);
      const page = JSON.parse(text) as { data: Event[]; next_cursor: string | null };
      events.push(...page.data);
      if (page.data.length > 0) texts.push(text.slice('{"data":['.length, text.lastIndexOf('],"next_cursor"')));
      if (page.next_cursor === null) return { text: texts.join(","), events };
    }
  }

  async #text(path: string, on: ServerProcess | undefined): Promise<string> {
    const deadline = Date.now() + PATIENCE_MS;
    let problem: unknown;
    while (Date.now() < deadline) {
      try {
        const answer = await this.request(on ?? this.#any(), "GET", path);
        if (answer.status === 200) return answer.text;
        problem = answer.text;
      } catch (error) {
        problem = error;
      }
      await sleep(50);
    }
    throw new Error(`GET ${path}: no answer within ${PATIENCE_MS} ms`, { cause: problem });
  }

  /** Runs once they have ended; throws when one does not. */
  async ended(runIds: readonly string[]): Promise<Run[]> {
    const runs = new Map<string, Run>();
    const deadline = Date.now() + PATIENCE_MS;
    while (runs.size < runIds.length) {
      const open = runIds.filter((id) => !runs.has(id));
      for (const id of open) {
        const run = await this.insist<Run>("GET", `/runs/${id}`);
        if (isTerminal(run.state)) runs.set(id, run);
        // The rest began at the same time: look again a little later instead of asking for each of them.
        else break;
      }
      if (Date.now() > deadline) {
        const stuck = await Promise.all(open.map((id) => this.insist<Run>("GET", `/runs/${id}`)));
        const shown = stuck.filter((run) => !isTerminal(run.state)).map((run) => `${run.id} ${run.state}`);
        if (shown.length > 0) throw new Error(`${shown.length} runs did not end: ${shown.slice(0, 5).join(", ")}`);
      }
      if (runs.size < runIds.length) await sleep(100);
    }
    return runIds.map((id) => runs.get(id) as Run);
  }
}

/** An answer that no retry makes better. */
class WrongAnswer extends Error {}

function parsed<T>(answer: Answer, what: string): T {
  if (answer.status >= 400) throw new WrongAnswer(`${what}: ${answer.status} ${answer.text}`);
  return (answer.text === "" ? undefined : JSON.parse(answer.text)) as T;
}
