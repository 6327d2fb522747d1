/** Refusals as answers: one body for all, with the request's id; what is our fault shows nothing of the inside. */
import type { ServerResponse } from "node:http";
import { CallboardError, type RequestId } from "@callboard/protocol";
import { EndpointRefusal } from "../endpoints/index.ts";
import { errorFacts, type Logger } from "../log/index.ts";

/** Writes a refusal; logs what is our fault. */
export function sendError(outgoing: ServerResponse, error: unknown, requestId: RequestId, log: Logger): void {
  const refusal = toRefusal(error);
  logFault(refusal, error, requestId, log);
  if (outgoing.headersSent) {
    outgoing.destroy(); // half an answer was sent: cutting the connection is the only honest signal left
    return;
  }
  const { retry_after_ms: _, ...details } = refusal.details ?? {};
  const body = {
    error: {
      code: refusal.code,
      message: refusal.message,
      request_id: requestId,
      ...(Object.keys(details).length > 0 ? { details } : {}),
    },
  };
  const text = JSON.stringify(body);
  outgoing.writeHead(refusal.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "x-request-id": requestId,
    ...retryAfter(refusal),
    ...(refusal.status === 401 ? { "www-authenticate": "Bearer" } : {}),
    // A body that was not read to its end cannot be followed by another request.
    ...(refusal.status === 413 ? { connection: "close" } : {}),
  });
  if (refusal.status === 413) endAfterBody(outgoing, text);
  else outgoing.end(text);
}

/** Logs what is our fault; what went wrong in an endpoint is in the log already. */
export function logFault(refusal: Refusal, error: unknown, requestId: RequestId, log: Logger): void {
  if (refusal.status < 500 || error instanceof EndpointRefusal) return;
  log.error({ request_id: requestId, error: errorFacts(error) }, "a request failed");
}

export function retryAfter({ details }: Refusal): Record<string, string> {
  const ms = details?.retry_after_ms;
  return typeof ms === "number" ? { "retry-after": String(Math.ceil(ms / 1000)) } : {};
}

/** How long a body that was refused may go on coming, in milliseconds. */
const LINGER_MS = 5000;

/**
 * Closing while the client sends would reset the connection, and the client would never read why: the answer
 * goes out at once, the rest of the body goes nowhere, and then the connection closes.
 */
function endAfterBody(outgoing: ServerResponse, text: string): void {
  const incoming = outgoing.req;
  outgoing.write(text);
  if (incoming.readableEnded || incoming.destroyed) {
    outgoing.end();
    return;
  }
  const end = () => {
    clearTimeout(timer);
    outgoing.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  incoming.once("end", end);
  incoming.once("close", end);
  incoming.resume();
}

export type Refusal = { status: number; code: string; message: string; details?: Record<string, unknown> | undefined };

export function toRefusal(error: unknown): Refusal {
  if (error instanceof CallboardError) return error;
  if (error instanceof EndpointRefusal) return error.refusal;
  return new CallboardError("internal", undefined, {}, { cause: error });
}
