/**
 * Why something with an MCP server did not work, in words that hold nothing of ours and no body of its answers.
 * The cause is not kept: the SDK's errors repeat what the server sent.
 */
import { GuardedFetchError } from "../../net/index.ts";
import { readable } from "./schema.ts";

const MAX_SAID_CHARS = 500;
/** Source: MCP, tools, error handling: unknown tools and invalid arguments. */
const INVALID_PARAMS = -32602;

type Kind = {
  /** The connection is of no use any more. */
  isConnection?: boolean;
  /** The server does not know the tool, or does not take the arguments: the listing may be out of date. */
  isRefusal?: boolean;
  /** The server may have taken the call, and done what it asks for. */
  isDoubtful?: boolean;
};

export class McpFailure extends Error {
  readonly isConnection: boolean;
  readonly isRefusal: boolean;
  readonly isDoubtful: boolean;

  constructor(message: string, { isConnection = false, isRefusal = false, isDoubtful = false }: Kind = {}) {
    super(message);
    this.name = "McpFailure";
    this.isConnection = isConnection;
    this.isRefusal = isRefusal;
    this.isDoubtful = isDoubtful;
  }
}

/** After these nothing was sent. */
const unsent = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);
const doubtful = new Set<GuardedFetchError["reason"]>(["too_large", "timeout", "cut"]);

const fetchReasons: Record<GuardedFetchError["reason"], string> = {
  address_refused: "has an address that may not be connected to",
  bad_url: "has an address that cannot be used",
  not_allowed: "redirected to another host",
  too_many_redirects: "redirected too often",
  too_large: "answered with more than is accepted",
  timeout: "did not answer in time",
  unreachable: "cannot be reached",
  cut: "broke off its answer",
};

export function toFailure(server: string, error: unknown): McpFailure {
  if (error instanceof McpFailure) return error;
  const fail = (what: string, isDoubtful: boolean, isConnection = true) =>
    new McpFailure(`the MCP server ${server} ${what}`, { isConnection, isDoubtful });
  const chain = [...causes(error)] as Facts[];
  for (const cause of chain) {
    if (cause instanceof GuardedFetchError) {
      const { reason } = cause;
      const isUnsent = chain.some(({ code }) => unsent.has(String(code)));
      return fail(fetchReasons[reason], doubtful.has(reason) || (reason === "unreachable" && !isUnsent));
    }
    const { name, code, data, message } = cause;
    if (typeof data?.status === "number") return fail(`answered with status ${data.status}`, data.status >= 500);
    if (name === "UnauthorizedError") return fail("answered with status 401", false);
    if (code === "REQUEST_TIMEOUT") return fail("did not answer in time", true, false);
    if (code === "ENOENT" || code === "EACCES") return fail("cannot be started", false);
    if (code === "CONNECTION_CLOSED") return fail("closed the connection", true);
    // What the server itself answers is for the model, like any result.
    if (name === "ProtocolError" || typeof code === "number") {
      const said = readable(String(message)).slice(0, MAX_SAID_CHARS);
      const isRefusal = code === INVALID_PARAMS;
      return new McpFailure(`the MCP server ${server} refused the call: ${said}`, { isRefusal });
    }
  }
  return fail("failed", true);
}

type Facts = { name?: string; code?: unknown; data?: { status?: unknown }; message?: unknown };

function* causes(error: unknown): Generator<object> {
  let current = error;
  for (let depth = 0; depth < 8 && typeof current === "object" && current !== null; depth++) {
    yield current;
    current = (current as { cause?: unknown }).cause;
  }
}
