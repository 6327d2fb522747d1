/**
 * The connection to one MCP server: made when it is needed, dropped when it fails, made again by the next call.
 *
 * M1  Requests over HTTP go through the guarded fetch, and only to the origin that the operator wrote.
 * M2  Headers and environment of the operator are given to the transport and to nothing else; no error or log
 *     line holds them, or the body of an answer.
 * M3  Nothing of a caller is sent, and no token ever: the server sees the operator's own credentials. Only where the
 *     operator says so, calls carry an assertion of whom they are for (`assertion.ts`).
 * M4  The server can ask nothing: no sampling, no elicitation, no roots.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { CallToolResult, Client, Tool, Transport } from "@modelcontextprotocol/client";
import type { LocalMcp, RemoteMcp } from "../../config/index.ts";
import { guardedFetch } from "../../net/index.ts";
import { ASSERTION_HEADER } from "./assertion.ts";
import { McpFailure, toFailure } from "./failure.ts";

export type McpTarget = RemoteMcp | LocalMcp;

export type ConnectionOptions = {
  allowPrivate: boolean;
  /** The server says that its tools changed. May be called often. */
  onChanged: () => void;
};

export type McpCall = {
  tool: Pick<Tool, "name" | "inputSchema">;
  input: Record<string, unknown>;
  /** The same for every repetition of the call, also after a crash. */
  callId: string;
  /** For whom the call is, in words of its own for each request; undefined where that is not told. */
  assertion: (() => Promise<string>) | undefined;
};

/** In `_meta` of a call, for servers that want to do the same work once. Source: MCP, basic, `_meta`. */
const CALL_ID = "callboard/call_id";
const CONNECT_MS = 15_000;
/** All pages of one listing. */
const LIST_MS = 60_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_PAGES = 20;
const MAX_TOOLS = 500;

/** The SDK would compile schemas of the server without bounds; `result.ts` checks answers within ours. */
const noValidation = {
  getValidator: () => (value: unknown) => ({ valid: true, data: value, errorMessage: undefined }),
};

export class McpConnection {
  readonly #name: string;
  readonly #target: McpTarget;
  readonly #options: ConnectionOptions;
  readonly #stop = new AbortController();
  #client: Promise<Client> | undefined;

  constructor(name: string, target: McpTarget, options: ConnectionOptions) {
    this.#name = name;
    this.#target = target;
    this.#options = options;
  }

  /** All tools of the server, at most 500. @throws McpFailure */
  async list(signal: AbortSignal): Promise<Tool[]> {
    const late = new AbortController();
    const tooLate = () => late.abort(new McpFailure(`the MCP server ${this.#name} did not list in time`));
    const timer = setTimeout(tooLate, LIST_MS);
    try {
      return await this.#pages(AbortSignal.any([signal, late.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  #pages(signal: AbortSignal): Promise<Tool[]> {
    return this.#use(signal, async (client) => {
      if (client.getServerCapabilities()?.tools === undefined) return [];
      const tools: Tool[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < MAX_PAGES && tools.length < MAX_TOOLS; page++) {
        const params = cursor === undefined ? {} : { cursor };
        const listed = await this.#whole(signal, (held) =>
          client.request({ method: "tools/list", params }, { ...held, timeout: CONNECT_MS }),
        );
        tools.push(...listed.tools);
        cursor = listed.nextCursor;
        if (cursor === undefined) break;
      }
      return tools.slice(0, MAX_TOOLS);
    });
  }

  /** @throws McpFailure, or the signal's reason after the server was told that nobody waits any more */
  async call({ tool, input, callId, assertion }: McpCall, signal: AbortSignal): Promise<CallToolResult> {
    const timeout = this.#target.timeoutMs;
    const params = { name: tool.name, arguments: input, _meta: { [CALL_ID]: callId } };
    return this.#use(signal, (client) =>
      this.#whole(
        signal,
        (held) => client.callTool(params, { ...held, timeout, maxTotalTimeout: timeout, toolDefinition: tool }),
        assertion,
      ),
    );
  }

  /** The SDK goes on waiting when the stream of an answer breaks off; this does not. */
  async #whole<T>(
    signal: AbortSignal,
    ask: (held: { signal: AbortSignal }) => Promise<T>,
    assertion?: McpCall["assertion"],
  ): Promise<T> {
    const broken = new AbortController();
    let answered = false;
    const onBroken = (error: unknown) => {
      if (!answered) broken.abort(error);
    };
    try {
      return await asking.run({ onBroken, assertion }, () => ask({ signal: AbortSignal.any([signal, broken.signal]) }));
    } catch (error) {
      throw broken.signal.aborted ? broken.signal.reason : error;
    } finally {
      answered = true;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new McpFailure(`the MCP server ${this.#name} is not used any more`, { isConnection: true }));
    await this.#drop();
  }

  async #use<T>(signal: AbortSignal, work: (client: Client) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      const { client, fresh } = await this.#connected();
      signal.throwIfAborted();
      try {
        return await work(client);
      } catch (error) {
        // The server forgot this session, so it did not take the request: the next session may ask again.
        if (fresh || !isForgotten(error)) throw error;
        await this.#drop();
        return await work((await this.#connected()).client);
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const failure = toFailure(this.#name, error);
      if (failure.isConnection) await this.#drop();
      throw failure;
    }
  }

  async #connected(): Promise<{ client: Client; fresh: boolean }> {
    this.#stop.signal.throwIfAborted();
    const known = this.#client;
    if (known !== undefined) return { client: await known, fresh: false };
    const client = this.#connect();
    this.#client = client;
    client.catch(() => {
      if (this.#client === client) this.#client = undefined;
    });
    return { client: await client, fresh: true };
  }

  async #connect(): Promise<Client> {
    const { Client } = await import("@modelcontextprotocol/client");
    const client = new Client(
      { name: "callboard", version: "0.1.0" },
      {
        capabilities: {},
        jsonSchemaValidator: noValidation as never,
        versionNegotiation: { mode: "auto", probe: { timeoutMs: "url" in this.#target ? CONNECT_MS : 3000 } },
        inputRequired: { autoFulfill: false },
        listChanged: { tools: { autoRefresh: false, debounceMs: 200, onChanged: () => this.#options.onChanged() } },
      },
    );
    const transport = await this.#transport();
    client.onclose = () => void this.#drop(client);
    client.onerror = () => {}; // what matters is told to the request that it happened to
    try {
      await client.connect(transport, { timeout: CONNECT_MS, signal: this.#stop.signal });
    } catch (error) {
      await client.close().catch(() => undefined);
      await transport.close().catch(() => undefined);
      throw error;
    }
    return client;
  }

  async #transport(): Promise<Transport> {
    const target = this.#target;
    if ("url" in target) {
      const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
      return new StreamableHTTPClientTransport(new URL(target.url), {
        fetch: mcpFetch(target, this.#options.allowPrivate),
        requestInit: { headers: target.headers },
      });
    }
    const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
    const { command, args, env, cwd } = target;
    const place = cwd === undefined ? {} : { cwd };
    return new StdioClientTransport({
      command,
      args,
      env,
      ...place,
      stderr: "ignore",
      maxBufferSize: MAX_ANSWER_BYTES,
    });
  }

  /** @param client only when it is still this one */
  async #drop(client?: Client): Promise<void> {
    const held = this.#client;
    if (held === undefined) return;
    const found = await held.catch(() => undefined);
    if (this.#client !== held || (client !== undefined && found !== client)) return;
    this.#client = undefined;
    await found?.close().catch(() => undefined);
  }
}

/** Of the request under way: whom to tell that its answer broke off, and for whom it is. */
const asking = new AsyncLocalStorage<{ onBroken: (error: unknown) => void; assertion: McpCall["assertion"] }>();

/** Streams on which changes are told stay open; everything else has a time. */
function mcpFetch({ url, timeoutMs }: RemoteMcp, allowPrivate: boolean): typeof fetch {
  const { origin } = new URL(url);
  const shared = { allowPrivate, maxResponseBytes: MAX_ANSWER_BYTES, allow: (target: URL) => target.origin === origin };
  const bounded = guardedFetch({ ...shared, timeoutMs: Math.max(timeoutMs, CONNECT_MS) + 5000 });
  const following = guardedFetch({ ...shared, timeoutMs: 0 });
  return async (input, init) => {
    const isStream = init?.method === "GET" || new Headers(init?.headers).get("mcp-method") === "subscriptions/listen";
    if (isStream) return following(input, init);
    const { onBroken, assertion } = asking.getStore() ?? {};
    const response = await bounded(input, assertion === undefined ? init : await withAssertion(init, assertion));
    const isEvents = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (onBroken === undefined || response.body === null || !response.ok || !isEvents) return response;
    const { readable: body, writable } = new TransformStream<Uint8Array, Uint8Array>();
    response.body.pipeTo(writable).catch(onBroken);
    return new Response(body, response);
  };
}

async function withAssertion(init: RequestInit | undefined, assertion: () => Promise<string>): Promise<RequestInit> {
  const headers = new Headers(init?.headers);
  headers.set(ASSERTION_HEADER, await assertion());
  return { ...init, headers };
}

/** HTTP's "there is no such session". */
function isForgotten(error: unknown): boolean {
  return error instanceof Error && (error as { data?: { status?: unknown } }).data?.status === 404;
}
