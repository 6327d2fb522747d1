/** For tests of handlers: requests as the server would hand them over, without a socket. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RouteAnswer, RouteBody, RouteName, RouteParams, RouteQuery } from "@callboard/protocol";
import { routes } from "@callboard/protocol";
import { requestId, type World } from "../access/fixture.ts";
import { type Caller, requireScope } from "../access/index.ts";
import type { Handler, Handlers, Sent } from "./handler.ts";

type Given<N extends RouteName> = {
  params?: RouteParams<N>;
  query?: Record<string, string>;
  body?: unknown;
};

/** Calls handlers by route name; body and query pass their schemas first, and the scope is checked. */
export function callerOf<H extends Partial<Handlers>>(world: World, handlers: H) {
  return async <N extends keyof H & RouteName>(
    who: string,
    route: N,
    given: Given<N> = {},
  ): Promise<RouteAnswer<N>> => {
    const caller: Caller = await world.as(who);
    const entry = routes[route] as {
      scope: Parameters<typeof requireScope>[1] | null;
      body?: { parse(value: unknown): unknown };
      query?: { parse(value: unknown): unknown };
    };
    if (entry.scope !== null) requireScope(caller, entry.scope);
    const handler = handlers[route] as Handler<N>;
    const answer = await handler({
      route,
      requestId,
      caller,
      params: given.params as RouteParams<N>,
      query: entry.query?.parse(given.query ?? {}) as RouteQuery<N>,
      body: entry.body?.parse(given.body ?? {}) as RouteBody<N>,
      headers: {},
      signal: AbortSignal.timeout(60_000),
      incoming: {} as IncomingMessage,
      outgoing: {} as ServerResponse,
      idempotency: null,
      waitSeconds: 0,
      once: async (work) => {
        const text = JSON.stringify(await world.database.transaction(work));
        return { kind: "sent", route, status: 201, text } satisfies Sent<N>;
      },
    });
    const sent = answer as Sent<N> | undefined;
    return sent?.kind === "sent" ? JSON.parse(sent.text) : (answer as RouteAnswer<N>);
  };
}

/** The code of the refusal, or `accepted`. */
export const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "accepted",
    (error: { code?: string; message: string }) => error.code ?? `broken: ${error.message}`,
  );

/** Code and words of the refusal. */
export const wordsOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "accepted",
    ({ code, message, details }: { code: string; message: string; details: unknown }) => ({ code, message, details }),
  );
