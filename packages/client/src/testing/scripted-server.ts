/** A server for tests: it notes what it was asked and answers what the test's script says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export type Seen = {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
};
export type Script = (seen: Seen, response: ServerResponse, index: number) => void | Promise<void>;

/** Listens on a free port of 127.0.0.1 until the test is over. `script` is called once per request. */
export async function scriptedServer(script: Script): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers } = request;
    const one = { method, url, headers, body: Buffer.concat(chunks) };
    await script(one, response, seen.push(one) - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** The error body of the API. */
export function sendRefusal(response: ServerResponse, status: number, code: string, headers = {}): void {
  const error = { code, message: `refused: ${code}`, request_id: "req_1" };
  sendJson(response, status, { error }, headers);
}

/** One event as the server frames it. */
export function frame(event: { seq: number; type: string }): string {
  return `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
