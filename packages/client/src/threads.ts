import type { RouteBodyInput, Run, Thread } from "@callboard/protocol";
import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";
import { type EndedRun, type WaitOptions, waitForRun } from "./wait.ts";

type CreateInput = RouteBodyInput<"threads.create">;

/** What `threads.create` takes, with a first message: the whole `input`, or its `text` alone. */
export type ThreadRunInput = Omit<CreateInput, "input"> &
  ({ text: string; input?: never } | { text?: never; input: NonNullable<CreateInput["input"]> });

export function threadCalls(transport: Transport) {
  const { call } = transport;
  const byId = (threadId: string, options?: RequestOptions) => ({ params: { thread_id: threadId }, ...options });
  return {
    /** Creates a thread and, when `input` is present, its first run. `agent` is an id or a slug. */
    create: (agent: string, body: CreateInput = {}, options?: CreateOptions) =>
      call("threads.create", { params: { agent_id: agent }, body, ...options }),

    /** Threads of the agent that the caller may see, newest first. */
    list: (agent: string, query?: QueryInput<"threads.list">, options?: RequestOptions) =>
      call("threads.list", { params: { agent_id: agent }, query, ...options }),

    /** The thread with its latest run. */
    get: (threadId: string, options?: RequestOptions) => call("threads.get", byId(threadId, options)),

    /** Renames the thread or replaces its metadata. */
    update: (threadId: string, body: RouteBodyInput<"threads.update">, options?: RequestOptions) =>
      call("threads.update", { ...byId(threadId, options), body }),

    archive: (threadId: string, options?: RequestOptions) => call("threads.archive", byId(threadId, options)),
    unarchive: (threadId: string, options?: RequestOptions) => call("threads.unarchive", byId(threadId, options)),

    /** Deletes the thread with its events, files, runs and transcripts. */
    delete: (threadId: string, options?: RequestOptions) => call("threads.delete", byId(threadId, options)),

    /**
     * Creates a thread with a message and waits for the end of its run; the answer's `run.state` says how it
     * ended. When the agent may ask for permissions, give a `timeoutMs` or follow the events instead.
     *
     * @throws CallboardTimeoutError when the run had not ended after `timeoutMs`; it goes on
     */
    run: async (
      agent: string,
      { text, input, ...rest }: ThreadRunInput,
      { timeoutMs, ...options }: CreateOptions & WaitOptions = {},
    ): Promise<{ thread: Thread; run: EndedRun }> => {
      const message = input ?? { type: "user.message" as const, text };
      const body = { ...rest, input: message };
      const created = await call("threads.create", { params: { agent_id: agent }, body, ...options });
      const run = await waitForRun(transport, (created.run as Run).id, { timeoutMs, signal: options.signal }, true);
      const { thread } = await call("threads.get", byId(created.thread.id, options));
      return { thread, run };
    },
  };
}
