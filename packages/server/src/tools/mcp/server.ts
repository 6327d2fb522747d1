/**
 * One MCP server of the operator's list, and its tools as the last listing had them.
 *
 * The listing is made in the background after the start, when the server says that it changed, when it refuses a
 * call that the last one allows, and every few minutes. A server that is away changes nothing in what is known; calls fail with the reason until it is back.
 */
import { setImmediate as breathe } from "node:timers/promises";
import type { ToolDefinition } from "@callboard/kit";
import type { Tool } from "@modelcontextprotocol/client";
import type { McpToolRule } from "../../config/index.ts";
import type { Logger } from "../../log/index.ts";
import type { LoadedTool } from "../registry.ts";
import { type Assert, callAssertion } from "./assertion.ts";
import { McpConnection, type McpTarget } from "./connection.ts";
import { McpFailure } from "./failure.ts";
import { toolNames } from "./names.ts";
import { toOutput } from "./result.ts";
import { type ForeignSchema, foreignSchema, readable } from "./schema.ts";

export type McpSettings = {
  allowPrivate: boolean;
  log: Logger;
  /** Says for whom a call is, to servers that are told. */
  assert: Assert;
  /** Names that are taken. */
  taken: ReadonlySet<string>;
  /** Milliseconds between two listings that nobody asked for. Default five minutes. */
  listEveryMs?: number;
};

const LIST_EVERY_MS = 300_000;
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 60_000;
/** Between two listings, however often the server says that it changed. */
const MIN_GAP_MS = 500;
/** The same where a refused call makes a doubt: a model can have calls refused as it likes. */
const REFUSED_GAP_MS = 3000;
const MAX_TOOLS = 200;
const DOUBT = "it may have done the work all the same";
const MAX_DESCRIPTION_CHARS = 2000;
/** Of a tool's own name. Source: MCP, tools, tool names. */
const MAX_NAME_CHARS = 128;

/** What holds for a tool that the operator said nothing about. */
const byDefault: McpToolRule = {
  effect: "once",
  approval: "never",
  sensitive: false,
  public: { input: false, output: false },
};

export class McpServer {
  readonly name: string;
  readonly #target: McpTarget;
  readonly #settings: McpSettings;
  readonly #connection: McpConnection;
  readonly #stop = new AbortController();
  #tools: ReadonlyMap<string, LoadedTool> = new Map();
  #listed = false;
  /** Why the last listing failed; undefined when it did not. */
  #problem: string | undefined = "it was not asked yet";
  #listing: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #lastStartMs = 0;

  constructor(name: string, target: McpTarget, settings: McpSettings) {
    this.name = name;
    this.#target = target;
    this.#settings = settings;
    const { allowPrivate } = settings;
    this.#connection = new McpConnection(name, target, { allowPrivate, onChanged: () => this.#changed() });
  }

  get tools(): ReadonlyMap<string, LoadedTool> {
    return this.#tools;
  }

  /** Why its tools are not known; undefined when they are. */
  get problem(): string | undefined {
    return this.#listed ? undefined : `its MCP server ${this.name} could not be listed: ${this.#problem}`;
  }

  /** Asks for the tools unless that is under way. Never rejects. */
  list(): Promise<void> {
    this.#listing ??= this.#list().finally(() => {
      this.#listing = undefined;
      this.#schedule();
    });
    return this.#listing;
  }

  async close(): Promise<void> {
    this.#stop.abort(new McpFailure("the server is stopping"));
    clearTimeout(this.#timer);
    await this.#connection.close();
  }

  /** @param gapMs at least, since the last listing began */
  #changed(gapMs = MIN_GAP_MS): void {
    if (this.#listing !== undefined) this.#again = true;
    else this.#schedule(Math.max(0, this.#lastStartMs + gapMs - performance.now()));
  }

  #schedule(afterMs?: number): void {
    clearTimeout(this.#timer);
    if (this.#stop.signal.aborted) return;
    const usual = this.#settings.listEveryMs ?? LIST_EVERY_MS;
    let delayMs = afterMs ?? usual;
    if (this.#problem !== undefined) {
      delayMs = Math.min(this.#retryMs, usual);
      this.#retryMs = Math.min(LAST_RETRY_MS, this.#retryMs * 2);
    } else if (this.#again) delayMs = MIN_GAP_MS;
    this.#timer = setTimeout(() => void this.list(), delayMs).unref();
  }

  async #list(): Promise<void> {
    const { log } = this.#settings;
    this.#again = false;
    this.#lastStartMs = performance.now();
    try {
      const found = await this.#connection.list(this.#stop.signal);
      this.#tools = await this.#take(found);
      if (this.#problem !== undefined) {
        log.info({ mcp_server: this.name, tools: this.#tools.size }, "an MCP server's tools were listed");
      }
      this.#listed = true;
      this.#problem = undefined;
      this.#retryMs = FIRST_RETRY_MS;
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const problem = error instanceof McpFailure ? error.message : "its answer could not be understood";
      if (problem !== this.#problem)
        log.warn({ mcp_server: this.name, problem }, "an MCP server's tools could not be listed");
      this.#problem = problem;
    }
  }

  /** Makes tools of a listing. What cannot be used is left out, with a line in the log. */
  async #take(found: readonly Tool[]): Promise<ReadonlyMap<string, LoadedTool>> {
    const { log, taken } = this.#settings;
    const rules = this.#target.tools;
    const leaveOut = (tool: string, reason: string) =>
      log.warn(
        { mcp_server: this.name, tool: readable(tool).slice(0, 100), reason },
        "a tool of an MCP server is left out",
      );
    const own = new Map<string, Tool>();
    for (const tool of found) {
      if (own.has(tool.name)) continue;
      if (rules !== undefined && !Object.hasOwn(rules, tool.name)) continue;
      if (tool.name.length > MAX_NAME_CHARS || readable(tool.name) !== tool.name) {
        leaveOut(tool.name, "its name is too long or has characters that nobody sees");
      } else if (own.size < MAX_TOOLS) own.set(tool.name, tool);
      else leaveOut(tool.name, `more than ${MAX_TOOLS} tools`);
    }
    for (const name of Object.keys(rules ?? {})) if (!own.has(name)) leaveOut(name, "the server does not have it");

    const tools = new Map<string, LoadedTool>();
    for (const [ownName, name] of toolNames(this.name, [...own.keys()])) {
      const tool = own.get(ownName) as Tool;
      try {
        if (taken.has(name)) throw new Error(`another tool is called ${name}`);
        tools.set(name, this.#load(name, tool, rules?.[ownName] ?? byDefault));
      } catch (error) {
        leaveOut(ownName, (error as Error).message);
      }
      // Compiling a schema takes milliseconds; requests are served in between.
      await breathe();
    }
    return tools;
  }

  #load(name: string, tool: Tool, rule: McpToolRule): LoadedTool {
    const { shown, schema } = foreignSchema(tool.inputSchema);
    const answers = this.#answersOf(tool);
    const { assert } = this.#settings;
    const told = "url" in this.#target && this.#target.identity ? this.#target.url : undefined;
    // What else the listing said of it is not kept.
    const called = { name: tool.name, inputSchema: tool.inputSchema };
    const said = readable(tool.description ?? tool.title ?? "").slice(0, MAX_DESCRIPTION_CHARS);
    const definition: ToolDefinition = {
      description: said === "" ? `The tool ${readable(tool.name).slice(0, 100)} of ${this.name}.` : said,
      input: schema,
      effect: rule.effect,
      approval: rule.approval,
      sensitive: rule.sensitive,
      public: rule.public,
      // The connection's own limit comes first and says more.
      timeoutMs: this.#target.timeoutMs + 20_000,
      run: async (input, context) => {
        const { callId, signal } = context;
        const assertion = told === undefined ? undefined : () => callAssertion(assert, told, tool.name, context);
        const call = { tool: called, input: input as Record<string, unknown>, callId, assertion };
        const answer = await this.#connection.call(call, signal).catch((error: unknown) => {
          if (!(error instanceof McpFailure)) throw error;
          if (error.isRefusal) this.#changed(REFUSED_GAP_MS);
          // Another call has another id: whoever makes it should know what it may come to.
          if (error.isDoubtful && rule.effect !== "read") throw new McpFailure(`${error.message}; ${DOUBT}`);
          throw error;
        });
        return toOutput(answer, answers);
      },
    };
    return { name, definition, inputSchema: shown };
  }

  /** Who may declare nothing may declare what cannot be used: such a tool is there, and its answers are not checked. */
  #answersOf({ name, outputSchema }: Tool): ForeignSchema["schema"] | undefined {
    if (outputSchema === undefined) return undefined;
    try {
      return foreignSchema(outputSchema, "output").schema;
    } catch (error) {
      const tool = readable(name).slice(0, 100);
      const reason = (error as Error).message;
      this.#settings.log.warn({ mcp_server: this.name, tool, reason }, "answers of an MCP tool are not checked");
      return undefined;
    }
  }
}
