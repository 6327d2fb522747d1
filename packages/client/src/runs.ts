import type { RouteBodyInput } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, PreferWait, QueryInput, RequestOptions } from "./types.ts";
import { type WaitOptions, waitForRun } from "./wait.ts";

export function runCalls(transport: Transport) {
  const { call } = transport;
  const byId = (runId: string, options?: RequestOptions) => ({ params: { run_id: runId }, ...options });
  return {
    /** Starts a run on a new thread, or on `thread_id`. */
    create: (agent: string, body: RouteBodyInput<"runs.create">, options?: CreateOptions & PreferWait) =>
      call("runs.create", { params: { agent_id: agent }, body, ...options }),

    /** Starts a run without a saved agent. */
    createRaw: (body: RouteBodyInput<"runs.createRaw">, options?: CreateOptions & PreferWait) =>
      call("runs.createRaw", { body, ...options }),

    /** Runs that the caller may see, newest first. */
    list: (query?: QueryInput<"runs.list">, options?: RequestOptions) => call("runs.list", { query, ...options }),

    get: (runId: string, options?: RequestOptions & PreferWait) => call("runs.get", byId(runId, options)),

    /** Asks the run to stop; it ends as `canceled` within a second or two. */
    cancel: (runId: string, options?: RequestOptions) => call("runs.cancel", byId(runId, options)),

    /** The run with the runs that it has called, and those that they have called. */
    tree: (runId: string, options?: RequestOptions) => call("runs.tree", byId(runId, options)),

    /** What the model was told and what it said. */
    transcript: (runId: string, options?: RequestOptions) => call("runs.transcript", byId(runId, options)),

    /**
     * The run, once it is completed, failed or canceled.
     *
     * @throws CallboardTimeoutError when it had not ended after `timeoutMs`; it goes on
     */
    wait: (runId: string, options?: WaitOptions) => waitForRun(transport, runId, options),
  };
}
