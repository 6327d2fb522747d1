/**
 * The public API: one dispatcher for every route of the table.
 *
 *   match ─ gate (caller, limits) ─ scope ─ query ─ body ─ idempotency key ─ handler ─ answer
 *
 * A handler whose caller turned out to be out of date is called again with the caller read anew.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  CallboardError,
  newId,
  parseId,
  type RequestId,
  type Route,
  type RouteAnswer,
  type RouteName,
  routes,
  toUuid,
} from "@callboard/protocol";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import {
  type Authenticator,
  type Caller,
  invalidRequest,
  type Refusals,
  requireScope,
  requireSession,
  requireStorable,
  scopeOf,
} from "../access/index.ts";
import { answerIdentity, idempotencyKey, reserve, store, storedAnswer, waitSeconds } from "../calls/index.ts";
import type { Logger } from "../log/index.ts";
import { AlreadyAnswered, Attempts, type IdempotencyKey, StaleAccess } from "../runs/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import type { Database } from "../storage/index.ts";
import { audited, auditRefusal } from "./audited.ts";
import { isJson, MAX_JSON_BYTES, parseJson, readBody } from "./body.ts";
import { callerAfter } from "./caller.ts";
import { sendErrorPage, wantsPage } from "./error-page.ts";
import { sendError } from "./errors.ts";
import type { Gate } from "./gate.ts";
import type { ApiRequest, Handler, Handlers, Sent } from "./handler.ts";
import type { Metrics } from "./metrics.ts";
import type { Site } from "./site.ts";
import { validate } from "./validate.ts";

export type ApiDeps = {
  database: Database;
  authenticator: Authenticator;
  gate: Gate;
  refusals: Refusals;
  site: Site;
  keys: SecretKeys;
  log: Logger;
  metrics: Metrics;
};

type Env = { Bindings: HttpBindings };
/** An open route's handler takes less of the same request. */
type AnyHandler = Handler<RouteName>;

export const API_PREFIX = "/api/v1";
/** Bytes of an upload's base64; beyond that there is multipart. */
const MAX_BASE64_BYTES = 12 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const written = Promise.resolve(RESPONSE_ALREADY_SENT);

/** A router with every route of the table under `/api/v1`. */
export function createApi(handlers: Handlers, deps: ApiDeps): Hono<Env> {
  const app = new Hono<Env>();
  for (const name of Object.keys(routes) as RouteName[]) {
    const route: Route = routes[name];
    const path = API_PREFIX + route.path.replace(/\{(\w+)\}/g, ":$1");
    app.on(route.method, path, (context) => {
      const { incoming, outgoing } = context.env as { incoming: IncomingMessage; outgoing: ServerResponse };
      const params = context.req.param() as Record<string, string>;
      const request = new Request(deps, name, route, newId("request"), incoming, outgoing);
      const served = request.serve(params, handlers[name] as AnyHandler);
      // The router hears at once that the answer is written elsewhere: it holds nothing for a request that waits.
      return incoming.method === "HEAD" ? served.then(() => RESPONSE_ALREADY_SENT) : written;
    });
  }
  return app;
}

/** One request on its way. */
class Request {
  readonly #deps: ApiDeps;
  readonly #name: RouteName;
  readonly #route: Route;
  readonly #requestId: RequestId;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  /** Undefined until `#read` has found out. */
  #caller!: Caller;
  #params!: Record<string, string>;
  #query: unknown;
  #body: unknown;
  #idempotency: IdempotencyKey | null = null;
  #abort: AbortController | undefined;

  constructor(
    deps: ApiDeps,
    name: RouteName,
    route: Route,
    requestId: RequestId,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) {
    this.#deps = deps;
    this.#name = name;
    this.#route = route;
    this.#requestId = requestId;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  /** Writes the answer, or the refusal. Never rejects. */
  async serve(params: Record<string, string>, handler: AnyHandler): Promise<void> {
    const started = performance.now();
    try {
      await this.#read(params);
      await this.#answer(handler);
    } catch (error) {
      await this.#refuse(error, params);
    }
    this.#deps.metrics.request(this.#name, this.#outgoing.statusCode, performance.now() - started);
  }

  async #refuse(error: unknown, params: Record<string, string>): Promise<void> {
    const { refusals, log } = this.#deps;
    const [, subject = ""] = /\{(\w+)\}/.exec(this.#route.path) ?? [];
    const requestId = this.#requestId;
    try {
      await auditRefusal(refusals, error, {
        caller: this.#caller,
        action: audited[this.#name].refused,
        target: params[subject],
        requestId,
      });
      if (wantsPage(this.#name, this.#incoming)) {
        const slug = encodeURIComponent(params.slug ?? "");
        const again = `${API_PREFIX}${routes["sso.start"].path.replace("{slug}", slug)}`;
        sendErrorPage(this.#outgoing, error, requestId, log, again);
      } else sendError(this.#outgoing, error, requestId, log);
    } catch (failure) {
      sendError(this.#outgoing, failure, requestId, log);
    }
  }

  /** Finds the caller and parses what was sent; nothing is written before that. */
  async #read(params: Record<string, string>): Promise<void> {
    const route = this.#route;
    if (route.auth !== "none") {
      this.#caller = await this.#deps.gate.enter(this.#incoming);
      if (route.auth === "session") requireSession(this.#caller);
      if (route.scope !== null) requireScope(this.#caller, route.scope);
    } else if (route.method !== "GET") this.#deps.site.requireOwnOrigin(this.#incoming);
    this.#params = params;
    requireStorable(params);
    this.#query = this.#readQuery();
    const startedMs = performance.now();
    const bytes = await this.#readBytes();
    if (route.auth !== "none") {
      this.#caller = await callerAfter(this.#deps.authenticator, this.#caller, startedMs);
      if (route.scope !== null) requireScope(this.#caller, route.scope);
    }
    if (bytes !== undefined && route.body !== undefined) this.#body = validate(route.body, parseJson(bytes));
    if (route.idempotent === true) {
      this.#idempotency = this.#key([bytes ?? NOTHING]);
    }
  }

  async #answer(handler: Handler<RouteName>): Promise<void> {
    const key = this.#idempotency;
    // An upload is compared after it was taken in: its bytes are part of the request.
    if (key !== null && this.#route.multipart !== true && (await this.#replay(key))) return;
    const attempts = new Attempts();
    for (;;) {
      try {
        this.#send(await handler(this.#toApiRequest()));
        return;
      } catch (error) {
        if (error instanceof AlreadyAnswered && this.#idempotency !== null) {
          if (await this.#replay(this.#idempotency)) return;
        } else if (!(error instanceof StaleAccess)) throw error;
        await attempts.again();
        this.#caller = await this.#deps.authenticator.refresh(this.#caller);
      }
    }
  }

  #toApiRequest(): ApiRequest<RouteName> {
    const abort = () => this.#aborted();
    return {
      route: this.#name,
      requestId: this.#requestId,
      caller: this.#caller,
      params: this.#params as never,
      query: this.#query as never,
      body: this.#body as never,
      headers: this.#incoming.headers,
      idempotency: this.#idempotency,
      waitSeconds: waitSeconds(this.#incoming.headers.prefer),
      get signal() {
        return abort();
      },
      incoming: this.#incoming,
      outgoing: this.#outgoing,
      once: (work, request) => this.#once(work, request),
    };
  }

  async #once(
    work: (tx: Parameters<Parameters<Database["transaction"]>[0]>[0]) => Promise<RouteAnswer<RouteName>>,
    request: readonly string[] | undefined,
  ): Promise<Sent<RouteName>> {
    const { database, keys } = this.#deps;
    const { status } = this.#route;
    if (request !== undefined && this.#idempotency !== null) {
      this.#idempotency = this.#key(request);
    }
    const key = this.#idempotency;
    const thread = parseId("thread", this.#params.thread_id ?? "");
    return database.tenant(scopeOf(this.#caller), async (tx) => {
      if (key !== null) await reserve(tx, this.#caller, key, thread === undefined ? null : toUuid(thread));
      const text = JSON.stringify(await work(tx));
      if (key !== null) {
        const kept = this.#route.secret === true ? JSON.stringify(keys.seal(text, answerIdentity(key))) : text;
        await store(tx, this.#caller, key, { status, text: kept });
      }
      return { kind: "sent", route: this.#name, status, text };
    });
  }

  /** A secret is shown again only to what it was made with: another token of the same person may be worth less. */
  #key(request: readonly (string | Uint8Array)[]): IdempotencyKey | null {
    const { url = "", headers } = this.#incoming;
    const by = this.#route.secret === true ? [this.#caller.tokenId] : [];
    return idempotencyKey(this.#caller, this.#name, headers["idempotency-key"], [url, ...request, ...by]);
  }

  async #replay(key: IdempotencyKey): Promise<boolean> {
    const stored = await storedAnswer(this.#deps.database, this.#caller, key);
    if (stored === undefined) return false;
    const text =
      this.#route.secret === true ? this.#deps.keys.open(JSON.parse(stored.text), answerIdentity(key)) : stored.text;
    this.#write(stored.status, text, { "idempotency-replayed": "true" });
    return true;
  }

  #send(answer: Awaited<ReturnType<Handler<RouteName>>>): void {
    if (answer === undefined) {
      this.#outgoing.writeHead(this.#route.status === 303 ? 303 : 204, {
        "x-request-id": this.#requestId,
        ...this.#caching(),
      });
      this.#outgoing.end();
    } else if (isSent(answer)) this.#write(answer.status, answer.text, answer.headers);
    else if (!isStreamed(answer)) this.#write(this.#route.status, JSON.stringify(answer), undefined);
  }

  #write(status: number, text: string, headers: Record<string, string> | undefined): void {
    this.#outgoing.writeHead(status, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
      "x-request-id": this.#requestId,
      ...this.#caching(),
      ...headers,
    });
    this.#outgoing.end(text);
  }

  /** Answers with secrets in them, cookies too, are kept by nobody on the way. */
  #caching(): Record<string, string> {
    const isPrivate = this.#route.secret === true || this.#route.auth !== undefined;
    return isPrivate ? { "cache-control": "no-store" } : {};
  }

  #readQuery(): unknown {
    const { url = "" } = this.#incoming;
    const mark = url.indexOf("?");
    if (mark < 0 && this.#route.query === undefined) return undefined;
    const query: Record<string, string> = {};
    if (mark >= 0) {
      for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) {
        if (name in query) throw invalidRequest([{ path: name, message: "given more than once" }]);
        query[name] = value;
      }
      requireStorable(query);
    }
    if (this.#route.query !== undefined) return validate(this.#route.query, query);
    const [unknown] = Object.keys(query);
    if (unknown !== undefined) throw invalidRequest([{ path: unknown, message: "unknown field" }]);
    return undefined;
  }

  /** The body's bytes, or undefined for a route without one and for a multipart upload. */
  async #readBytes(): Promise<Buffer | undefined> {
    const route = this.#route;
    if (route.body === undefined) return undefined;
    const type = this.#incoming.headers["content-type"] ?? "";
    if (route.multipart === true && /^multipart\/form-data\b/i.test(type)) return undefined;
    if (!isJson(type)) {
      const accepted = route.multipart === true ? "application/json or multipart/form-data" : "application/json";
      throw new CallboardError("unsupported_media_type", `content-type is ${type || "missing"}; expected ${accepted}`);
    }
    return readBody(this.#incoming, route.multipart === true ? MAX_BASE64_BYTES : MAX_JSON_BYTES);
  }

  #aborted(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      this.#abort = abort;
      // An answer that was sent whole is no abort.
      this.#outgoing.on("close", () => {
        if (!this.#outgoing.writableFinished) abort.abort(new CallboardError("bad_request", "the client went away"));
      });
    }
    return this.#abort.signal;
  }
}

const isSent = (answer: object): answer is Sent<RouteName> => (answer as { kind?: unknown }).kind === "sent";
const isStreamed = (answer: object): boolean => (answer as { kind?: unknown }).kind === "streamed";
