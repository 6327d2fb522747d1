/** For tests: calls of endpoints on a server, which live beside `/api/v1`. */
import type { RunId } from "@callboard/protocol";
import type { TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;

export type EndpointAnswer = { status: number; headers: Headers; body: Anything };

export type Sending = {
  method?: string;
  token?: string | null;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Sent as it is. */
  raw?: string;
};

/** Calls an endpoint; `path` is below `/endpoints`. */
export async function call(
  server: Pick<TestServer, "baseUrl" | "token">,
  path: string,
  input?: unknown,
  sending: Sending = {},
): Promise<EndpointAnswer> {
  const { method = "POST", token = server.token, headers, signal, raw } = sending;
  const body = raw ?? (input === undefined ? undefined : JSON.stringify(input));
  const response = await fetch(`${server.baseUrl}/endpoints/${path}`, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) };
}

/** Waits until something is true; the test's own limit ends it otherwise. */
export async function eventually<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The runs on threads of the first organization, newest first. */
export async function runsOf(
  server: TestServer,
): Promise<Array<{ id: RunId; state: string; error?: { code: string } }>> {
  return (await server.client().get("/runs")).body.data;
}

/** A value that a test hands over later. */
export function later<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
