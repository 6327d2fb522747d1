/**
 * `invokeAgent` of one tool call: counts its uses, so that a repeated call joins the children it began, and ends
 * the call when a child of it waits.
 */
import { setImmediate as turnOver } from "node:timers/promises";
import type { AgentFile, AgentRef, FinishedRun, InvokeAgent, InvokeAgentOptions, ToolEffect } from "@callboard/kit";
import type { CallId, RunId, VariableValue } from "@callboard/protocol";
import { requireStorable } from "../access/index.ts";
import { type NamedAgent, schemaOf, slugOf, toFinished } from "../calls/index.ts";
import { CallDenied, CallSuspended } from "../tools/index.ts";
import type { ChildRuns, Parent } from "./child-runs.ts";

type Options = InvokeAgentOptions<Record<string, VariableValue>>;
const optionNames = ["message", "variables"] as const satisfies ReadonlyArray<keyof Options>;

export type InvocationHost = {
  parent: Parent;
  children: ChildRuns;
  /** The slug of an agent that is the default export of a file in `agents/`. */
  slugOf: (agent: AgentFile) => string | undefined;
  signal: AbortSignal;
};

export class Invocations {
  readonly #host: InvocationHost;
  readonly #call: { id: CallId; effect: ToolEffect; share: number };
  readonly #over = new AbortController();
  #suspend: (error: CallSuspended) => void = () => {};
  #count = 0;
  /** Uses of this turn of the event loop: they begin together and share what is left, as the calls of a step do. */
  #together = { count: 0 };
  /** The run that the first use began or joined. */
  first: RunId | undefined;
  /** Rejects with CallSuspended when a child waits and the call can be made again: nothing is held meanwhile. */
  readonly suspended = new Promise<never>((_, reject) => {
    this.#suspend = reject;
  });

  constructor(host: InvocationHost, call: { id: CallId; effect: ToolEffect; share: number }) {
    this.#host = host;
    this.#call = call;
    this.suspended.catch(() => {});
  }

  /** `invokeAgent` of the tool. */
  readonly invoke: InvokeAgent = <Variables, Output>(
    agent: AgentFile<Variables, Output> | AgentRef<Variables, Output> | string,
    options: InvokeAgentOptions<Variables>,
  ): Promise<FinishedRun<Output>> => {
    const work = this.#invoke(agent as NamedAgent, options as Options, ++this.#count);
    const settled = work.then(
      (run) => run as FinishedRun<Output>,
      // A tool that is over hears nothing more: a rejection nobody waits for would end the process.
      (error) => (this.#over.signal.aborted ? new Promise<never>(() => {}) : Promise.reject(error)),
    );
    settled.catch(() => {});
    return settled;
  };

  /** The call is over: children it left behind are not followed any more, and are canceled by `settleFamilies`. */
  end(): void {
    this.#over.abort(new Error("the tool call is over"));
  }

  async #invoke(agent: NamedAgent, options: Options, number: number): Promise<FinishedRun<unknown>> {
    const slug = slugOf("invokeAgent", agent, this.#host.slugOf);
    const { message, variables } = checked(options);
    const { parent, children, signal } = this.#host;
    const { id: callId, effect, share } = this.#call;
    const must = effect === "once";
    const together = this.#together;
    together.count++;
    await turnOver();
    if (this.#together === together) this.#together = { count: 0 };
    const stop = AbortSignal.any([signal, this.#over.signal]);
    const outcome = await children.call(
      parent,
      { callId, number, slug, message, variables, share: share * together.count, must },
      stop,
    );
    if (outcome.kind === "denied") throw new CallDenied(`agent ${slug}: ${outcome.reason}`);
    if (outcome.kind === "refused") throw new Error(`agent ${slug}: ${outcome.reason}`);
    if (number === 1) this.first = outcome.run.id;
    if (outcome.kind === "ended") return toFinished(outcome.run, schemaOf(agent));
    this.#suspend(new CallSuspended(outcome.run.id));
    return new Promise<never>(() => {});
  }
}

/** Only the two options there are: nobody is named here, least of all a user. */
function checked(options: Options): Options {
  const unknown = Object.keys(options).find((name) => !(optionNames as readonly string[]).includes(name));
  if (unknown !== undefined) throw new TypeError(`invokeAgent takes ${optionNames.join(", ")}; found ${unknown}`);
  const { message } = options;
  if (typeof message !== "string" || message === "" || message.length > 1_000_000) {
    throw new TypeError("invokeAgent: expected message to be text of 1 to 1,000,000 characters");
  }
  requireStorable(options);
  return options;
}
