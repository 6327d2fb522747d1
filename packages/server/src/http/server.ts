/** The listening socket: the API, health, metrics, docs, and the answers to paths that are none. */
import { createServer as createHttpServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { CallboardError, newId, type Route, routes } from "@callboard/protocol";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import type { EndpointRegistry } from "../endpoints/index.ts";
import type { Logger } from "../log/index.ts";
import { API_PREFIX } from "./api.ts";
import { docsPage, docsPolicy } from "./docs-page.ts";
import { sendError } from "./errors.ts";
import { linkPage, linkPageHeaders, linkPages } from "./link-page.ts";
import type { Metrics } from "./metrics.ts";
import { openApi } from "./openapi.ts";

type Api = Hono<{ Bindings: HttpBindings }>;

export type ServerOptions = {
  api: Api | null;
  metrics: Metrics;
  log: Logger;
  /** What checks this server's signatures. */
  signing: object;
  /** The project's own routes, for the API's description. */
  endpoints: EndpointRegistry;
  /** Done before each request: looks for edited files. Null where nothing is edited. */
  before: (() => Promise<void>) | null;
  /** Whether requests are served now. */
  ready: () => Promise<boolean>;
};

export type HttpServer = {
  listen(port: number, host: string): Promise<number>;
  /** Takes no new connection; ends the open ones when their answers are sent, all of them after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

export function createServer(options: ServerOptions): HttpServer {
  const { metrics, ready, log, endpoints, before } = options;
  const app = options.api;
  if (app === null) return withListener(plain(options), log);

  app.get("/health/live", (c) => c.json({ status: "ok" }));
  app.get("/health", async (c) =>
    (await ready()) ? c.json({ status: "ok" }) : c.json({ status: "unavailable" }, 503),
  );
  app.get("/metrics", async (c) => {
    const { text, contentType } = await metrics.page();
    return c.text(text, 200, { "content-type": contentType });
  });
  let document: { version: number; text: string } | undefined;
  app.get(`${API_PREFIX}/openapi.json`, async (c) => {
    await endpoints.refresh();
    const { version } = endpoints;
    if (document?.version !== version) document = { version, text: JSON.stringify(openApi(endpoints.list())) };
    return c.body(document.text, 200, { "content-type": "application/json", "access-control-allow-origin": "*" });
  });
  const published = JSON.stringify(options.signing);
  app.get(`${API_PREFIX}/jwks.json`, (c) =>
    c.body(published, 200, {
      "content-type": "application/jwk-set+json",
      "cache-control": "public, max-age=300",
      "access-control-allow-origin": "*",
    }),
  );
  app.get(`${API_PREFIX}/docs`, async (c) => {
    await endpoints.refresh();
    return c.html(docsPage(openApi(endpoints.list())), 200, { "content-security-policy": docsPolicy });
  });
  app.get("/", (c) => c.redirect(`${API_PREFIX}/docs`));
  for (const [path, page] of Object.entries(linkPages)) {
    app.get(path, (c) => c.html(linkPage(page), 200, linkPageHeaders));
  }
  app.notFound((c) => {
    const allowed = methodsOf(c.req.path);
    const error =
      allowed.length === 0
        ? new CallboardError("not_found", "there is no such path")
        : new CallboardError("method_not_allowed", `this path takes ${allowed.join(", ")}`);
    if (allowed.length > 0) c.env.outgoing.setHeader("allow", allowed.join(", "));
    sendError(c.env.outgoing as never, error, newId("request"), log);
    return RESPONSE_ALREADY_SENT;
  });
  app.onError((error, c) => {
    sendError(c.env.outgoing as never, error, newId("request"), log);
    return RESPONSE_ALREADY_SENT;
  });
  const listener =
    before === null
      ? (request: Request, env: HttpBindings) => answer(app, request, env)
      : (request: Request, env: HttpBindings) => before().then(() => answer(app, request, env));
  return withListener(getRequestListener(listener as never), log);
}

function answer(app: Api, request: Request, env: HttpBindings): Response | Promise<Response> {
  const response = app.fetch(request, env);
  if (request.method !== "HEAD") return response;
  // The router answers HEAD with a copy of what GET answers, and would send it after what was sent already.
  return Promise.resolve(response).then((copy) => (env.outgoing.headersSent ? RESPONSE_ALREADY_SENT : copy));
}

/** A worker takes no API requests; it says how it is. */
function plain({ metrics, ready }: ServerOptions): Listener {
  return (incoming, outgoing) => {
    const send = (status: number, type: string, text: string) => {
      outgoing.writeHead(status, { "content-type": type });
      outgoing.end(text);
    };
    const path = (incoming.url ?? "").split("?")[0];
    if (path === "/health/live") send(200, "application/json", '{"status":"ok"}');
    else if (path === "/health") {
      void ready().then((ok) =>
        send(ok ? 200 : 503, "application/json", JSON.stringify({ status: ok ? "ok" : "unavailable" })),
      );
    } else if (path === "/metrics") void metrics.page().then(({ text, contentType }) => send(200, contentType, text));
    else send(404, "application/json", '{"error":{"code":"not_found","message":"this process takes no API requests"}}');
  };
}

type Listener = Parameters<typeof createHttpServer>[1] & ((...args: never[]) => unknown);

function withListener(listener: unknown, log: Logger): HttpServer {
  const server: Server = createHttpServer(listener as never);
  // Slow requests are bounded, slow answers are not: streams stay open.
  server.headersTimeout = 20_000;
  server.requestTimeout = 600_000;
  server.keepAliveTimeout = 65_000;
  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, 1024, () => {
          server.off("error", reject);
          server.on("error", (error) => log.error({ error }, "the listening socket failed"));
          resolve((server.address() as AddressInfo).port);
        });
      }),
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

const patterns = (Object.values(routes) as Route[]).map(({ method, path }) => ({
  method,
  pattern: new RegExp(`^${API_PREFIX}${path.replace(/\{\w+\}/g, "[^/]+")}$`),
}));

const methodsOf = (path: string): string[] =>
  patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
