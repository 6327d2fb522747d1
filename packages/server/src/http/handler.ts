/** What a route's handler gets and gives: undefined where the route answers without a body. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type {
  OpenRouteName,
  RequestId,
  RouteAnswer,
  RouteBody,
  RouteName,
  RouteParams,
  RouteQuery,
} from "@callboard/protocol";
import type { Caller } from "../access/index.ts";
import type { IdempotencyKey } from "../runs/index.ts";
import type { Transaction } from "../storage/index.ts";

export type ApiRequest<N extends RouteName> = {
  readonly route: N;
  readonly requestId: RequestId;
  readonly caller: Caller;
  readonly params: RouteParams<N>;
  readonly query: RouteQuery<N>;
  readonly body: RouteBody<N>;
  readonly headers: IncomingHttpHeaders;
  /** The request's `Idempotency-Key` in its scope; null without one. Only for verbs that store the answer themselves. */
  readonly idempotency: IdempotencyKey | null;
  /** Seconds the client is ready to wait for an end (`Prefer: wait=N`); 0 without it. */
  readonly waitSeconds: number;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** The sockets, for the routes that stream. */
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /**
   * Runs `work` in one transaction. With an `Idempotency-Key` the key is reserved in that transaction
   * and the answer stored with it; a repeat gets the stored answer and `work` is not called.
   */
  once(
    work: (tx: Transaction) => Promise<RouteAnswer<N>>,
    /** What the request was, where its body is not read into memory: for comparing repeats. */
    request?: readonly string[],
  ): Promise<Sent<N>>;
};

/** An answer that is ready: the JSON text is stored and sent as it is. */
export type Sent<N extends RouteName> = {
  readonly kind: "sent";
  readonly route: N;
  readonly status: number;
  readonly text: string;
  readonly headers?: Record<string, string>;
};
/** The handler has written the response itself. */
export type Streamed = { readonly kind: "streamed" };

export type Handler<N extends RouteName> = (request: ApiRequest<N>) => Promise<RouteAnswer<N> | Sent<N> | Streamed>;

/** A request to a route that asks for no caller. */
export type OpenRequest<N extends RouteName> = Pick<
  ApiRequest<N>,
  "route" | "requestId" | "params" | "query" | "body" | "incoming" | "outgoing"
>;
export type OpenHandler<N extends RouteName> = (request: OpenRequest<N>) => Promise<RouteAnswer<N> | Sent<N>>;

/** One handler for each route; a missing one does not compile. */
export type Handlers = { [N in RouteName]: N extends OpenRouteName ? OpenHandler<N> : Handler<N> };
