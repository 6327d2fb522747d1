/** Refusals as answers: one body for all, with the request's id; what is our fault shows nothing of the inside. */
import type { ServerResponse } from "node:http";
import { CallboardError, type RequestId } from "@callboard/protocol";
import { errorFacts, type Logger } from "../log/index.ts";

/** Writes a refusal; logs what is our fault. */
export function sendError(outgoing: ServerResponse, error: unknown, requestId: RequestId, log: Logger): void {
  const refusal =
    error instanceof CallboardError ? error : new CallboardError("internal", undefined, {}, { cause: error });
  if (refusal.status >= 500) log.error({ request_id: requestId, error: errorFacts(error) }, "a request failed");
  if (outgoing.headersSent) {
    outgoing.destroy(); // half an answer was sent: cutting the connection is the only honest signal left
    return;
  }
  const { retry_after_ms: retryAfterMs, ...details } = refusal.details;
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
    ...(retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) }),
    ...(refusal.status === 401 ? { "www-authenticate": "Bearer" } : {}),
    // A body that was not read to its end cannot be followed by another request.
    ...(refusal.status === 413 ? { connection: "close" } : {}),
  });
  outgoing.end(text);
}
