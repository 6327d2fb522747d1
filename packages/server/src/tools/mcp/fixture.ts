/** For tests: MCP servers on real sockets, made with the public SDK, and a client's view of them. */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import {
  createMcpHandler,
  McpServer as SdkServer,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import type { Logger } from "../../log/index.ts";

export type Seen = { method: string | undefined; headers: IncomingHttpHeaders };

export type Listening = {
  url: string;
  origin: string;
  seen: Seen[];
  /** Connections are cut and refused until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
};

/** Any HTTP server, at one address for its whole life. */
export async function listen(listener: RequestListener): Promise<Listening> {
  const seen: Seen[] = [];
  let port = 0;
  let server: ReturnType<typeof createServer>;
  const sockets = new Set<Socket>();
  const begin = async () => {
    server = createServer((request, response) => {
      seen.push({ method: request.method, headers: request.headers });
      void listener(request, response);
    });
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
    port = (server.address() as AddressInfo).port;
  };
  const end = () =>
    new Promise<void>((done) => {
      server.close(() => done());
      for (const socket of sockets) socket.destroy();
    });
  await begin();
  const origin = `http://127.0.0.1:${port}`;
  return { url: `${origin}/mcp`, origin, seen, pause: end, resume: begin, stop: end };
}

export type Toolbox = (server: SdkServer) => void;

/** A server of the stateless revision of 2026; without `modernOnly` it also speaks the older ones. */
export async function modernServer(toolbox: Toolbox, modernOnly = false) {
  const handler = createMcpHandler(
    () => {
      const server = new SdkServer({ name: "test", version: "1" }, { capabilities: { tools: { listChanged: true } } });
      toolbox(server);
      return server;
    },
    modernOnly ? { legacy: "reject" } : {},
  );
  const listening = await listen(getRequestListener((request) => handler.fetch(request)));
  return { ...listening, changed: () => handler.notify.toolsChanged() };
}

/** A server of the revisions of 2025, with sessions. */
export async function legacyServer(toolbox: Toolbox) {
  const sessions = new Map<string, { server: SdkServer; transport: WebStandardStreamableHTTPServerTransport }>();
  const listening = await listen(
    getRequestListener(async (request) => {
      const id = request.headers.get("mcp-session-id");
      const known = id === null ? undefined : sessions.get(id);
      if (known !== undefined) return known.transport.handleRequest(request);
      if (id !== null) return new Response("no such session: s3cret-body", { status: 404 });
      const server = new SdkServer({ name: "old", version: "1" }, { capabilities: { tools: { listChanged: true } } });
      toolbox(server);
      const transport = new WebStandardStreamableHTTPServerTransport({
        sessionIdGenerator: () => crypto.randomUUID(),
        onsessioninitialized: (session) => void sessions.set(session, { server, transport }),
      });
      await server.connect(transport);
      return transport.handleRequest(request);
    }),
  );
  return {
    ...listening,
    /** As after a restart: it knows none of its clients. */
    forget: () => sessions.clear(),
    /** Adds tools to the sessions that are open; the SDK tells their clients. */
    addTo: (more: Toolbox) => {
      for (const { server } of sessions.values()) more(server);
    },
  };
}

/** Keeps what is logged. */
export function recordingLog(): Logger & { lines: string[] } {
  const lines: string[] = [];
  const write = (facts: object, message: string) => void lines.push(`${message} ${JSON.stringify(facts)}`);
  const log = { lines, debug: write, info: write, warn: write, error: write, child: () => log };
  return log;
}

/** Waits until something holds; the test's own time is the limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((done) => setTimeout(done, 5));
}

/** What a raw server does in the place of answering with a result. */
export const drip = Symbol("sends progress without end");
export const refused = Symbol("says that there is no such tool");
export const redirect = (url: string) => new URL(url);

/**
 * A server that sends what it is told to, without the SDK's checks. `answer` is asked for the tools and their calls.
 *
 * @param answerId the id that an answer names
 */
export function rawServer(
  answer: (method: string) => unknown,
  answerId: (id: number, method: string) => number = (id) => id,
) {
  return listen(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
    const { id, method = "" } = asked as { id?: number; method?: string };
    if (request.method !== "POST") return void response.writeHead(405).end();
    if (id === undefined) return void response.writeHead(202).end();
    const serverInfo = { name: "raw", version: "1" };
    const initialized = { protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo };
    const result = method === "initialize" ? initialized : method === "server/discover" ? undefined : answer(method);
    if (result instanceof URL) return void response.writeHead(307, { location: result.href }).end();
    if (result === drip) return dripInto(response);
    let body: object = { result };
    if (method === "server/discover") body = { error: { code: -32601, message: "no such method" } };
    if (result === refused) body = { error: { code: -32602, message: "there is no such tool" } };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id: answerId(id, method), ...body }));
  });
}

function dripInto(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const params = { progressToken: 1, progress: 1 };
  const note = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params });
  const timer = setInterval(() => response.write(`event: message\ndata: ${note}\n\n`), 20);
  response.on("close", () => clearInterval(timer));
}
