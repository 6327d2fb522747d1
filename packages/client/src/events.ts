import type { RouteBodyInput } from "@callboard/protocol";
import { type FollowOptions, followEvents } from "./follow.ts";
import type { Transport } from "./transport.ts";
import type { CreateOptions, QueryInput, RequestOptions } from "./types.ts";

export function eventCalls(transport: Transport) {
  const { call } = transport;
  return {
    /** Sends one event, or `{ events }` as a batch that is taken whole or not at all. */
    send: (threadId: string, body: RouteBodyInput<"events.send">, options?: CreateOptions) =>
      call("events.send", { params: { thread_id: threadId }, body, ...options }),

    /** A page of the log, oldest first. */
    list: (threadId: string, query?: QueryInput<"events.list">, options?: RequestOptions) =>
      call("events.list", { params: { thread_id: threadId }, query, ...options }),

    /**
     * The log as it grows, from after `afterSeq`: each event once and in order, also when the connection
     * breaks or the server restarts in between.
     *
     * ```ts
     * for await (const event of client.events.follow(thread.id, { until: "run-end" })) …
     * ```
     *
     * @throws CallboardApiError for a refusal like 401, 403, 404; CallboardConnectionError when even the
     *   first connection cannot be made; the signal's reason
     */
    follow: (threadId: string, options?: FollowOptions) => followEvents(transport, threadId, options),
  };
}
