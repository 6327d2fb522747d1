/** A server for tests: it notes what it was asked and answers what the test's script says. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export type Seen = { route: string; headers: IncomingHttpHeaders; body: string };
export type Answer = (response: ServerResponse, seen: Seen) => void;

/** Listens until the test is over. `answers` is keyed by method and path below `/api/v1`, query included. */
export async function scriptedServer(answers: Record<string, Answer>): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const route = `${request.method} ${request.url?.replace("/api/v1", "")}`;
    const one = { route, headers: request.headers, body: Buffer.concat(chunks).toString() };
    seen.push(one);
    const answer = answers[route] ?? refuse(404, "not_found", `nothing is scripted for ${route}`);
    answer(response, one);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

export const json =
  (body: unknown, status = 200): Answer =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

export const refuse = (status: number, code: string, message: string, details?: unknown): Answer =>
  json({ error: { code, message, request_id: "req_1", details } }, status);

/** Streams these events; the connection stays open behind them. */
export const stream =
  (events: readonly { seq: number; type: string }[]): Answer =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of events) {
      response.write(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    }
  };
