/** Types of what goes in and comes out, taken from the protocol's route table. */
import type { RouteName, RouteQuery, Routes } from "@callboard/protocol";

// zod keeps what a schema accepts under `_zod.input`; its keys say which parameters may be left out.
type QueryText<N extends RouteName> = Routes[N] extends { query: { _zod: { input: infer Text } } } ? Text : never;
type Values<Text, Parsed> = { [K in keyof Text]: K extends keyof Parsed ? Parsed[K] : never };

/**
 * Query parameters of a route as values: numbers, booleans and arrays.
 * The client turns them into the text of the query string.
 */
export type QueryInput<N extends RouteName> = Values<QueryText<N>, RouteQuery<N>>;

/** One page of a list. */
export type Page<T> = { data: T[]; next_cursor: string | null };

export type RequestOptions = {
  /** Ends the request and its retries; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Sent with this request beside the client's own headers. */
  headers?: Record<string, string> | undefined;
};

export type CreateOptions = RequestOptions & {
  /**
   * Makes the call safe to repeat, also by another process, for 24 hours. Default: a random key for each
   * call, the same for its automatic retries.
   */
  idempotencyKey?: string | undefined;
};

/** Adds `If-Match`. */
export type IfRevision = {
  /** The `revision` as it was read; refused with `precondition_failed` when it is another one now. */
  ifRevision?: string | undefined;
};

/** Adds `Prefer: wait=N`. */
export type PreferWait = {
  /** Seconds the server may hold the answer until the run has ended. Default: it answers at once. */
  waitSeconds?: number | undefined;
};
