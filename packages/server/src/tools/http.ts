/**
 * Built-in tools: HTTP requests to the hosts that the operator lists. Without a list they are not there.
 *
 * W1  Every hop is compared with the list, and its address is checked as it is connected to.
 * W2  The operator's headers go to the host they were written for; a redirect to another one loses them.
 * W3  Only `http_get` follows redirects: what changes things is sent to one address, once.
 * W4  What a server sends in an answer may reach the model; what goes wrong on the way names the host alone.
 */
import type { Tool, ToolContext } from "@callboard/kit";
import { z } from "zod";
import type { HttpRule } from "../config/index.ts";
import { guardedFetch, isAllowed } from "../net/index.ts";
import { zodTool } from "./zod-tool.ts";

const MAX_TEXT_CHARS = 100_000;
/** Bytes of an answer after decompression; what is beyond the text is not read. */
const MAX_BYTES = 4 * MAX_TEXT_CHARS;
const TIMEOUT_MS = 30_000;

/** Headers a model may send. None of them carries credentials or describes the connection. */
const sendable = new Set([
  "accept",
  "accept-language",
  "content-type",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-unmodified-since",
  "prefer",
]);
/** Headers of an answer that a model is shown. */
const shown = ["content-type", "content-language", "etag", "last-modified", "link", "location", "retry-after"];

const headers = z
  .record(z.string(), z.string().max(1000))
  .optional()
  .describe(`Request headers, of these: ${[...sendable].join(", ")}.`);
const url = z.string().max(8000).describe("The whole address, beginning with https:// or http://.");

const getInput = z.strictObject({ url, method: z.enum(["GET", "HEAD"]).default("GET"), headers });
const requestInput = z.strictObject({
  url,
  method: z.enum(["POST", "PUT", "PATCH", "DELETE"]),
  headers,
  body: z.string().max(1_000_000).optional().describe("The request's body as text, for instance JSON."),
});

/**
 * @param rules hosts, the methods they may be asked with, and the operator's headers for them
 * @returns no tools when no host is listed
 */
export function httpTools(rules: readonly HttpRule[], options: { allowPrivate: boolean }): Record<string, Tool> {
  if (rules.length === 0) return {};
  const hosts = [
    ...new Set(
      rules.map(
        ({ host: { protocol, host, below, port } }) =>
          `${protocol === "http:" ? "http://" : ""}${below ? "*" : ""}${host}${port === "" ? "" : `:${port}`}`,
      ),
    ),
  ].join(", ");
  return {
    http_get: zodTool({
      description: `Read from the web: GET or HEAD of an address. Hosts that can be reached: ${hosts}.`,
      input: getInput,
      effect: "read",
      timeoutMs: TIMEOUT_MS + 5000,
      run: (input, context) => send(rules, options, input, context),
    }),
    http_request: zodTool({
      description:
        "Send an HTTP request that changes something: POST, PUT, PATCH or DELETE. Redirects are not followed. " +
        `Hosts that can be reached: ${hosts}.`,
      input: requestInput,
      effect: "once",
      approval: "always",
      // "Allow for this thread" covers one method on one host; of no address it covers nothing.
      approvalScope: ({ method, url }) => (URL.canParse(url) ? `${method} ${new URL(url).origin}` : ""),
      timeoutMs: TIMEOUT_MS + 5000,
      run: (input, context) => send(rules, options, input, context),
    }),
  };
}

type Asked = { url: string; method: string; headers?: Record<string, string> | undefined; body?: string | undefined };

async function send(
  rules: readonly HttpRule[],
  { allowPrivate }: { allowPrivate: boolean },
  asked: Asked,
  { signal, callId }: ToolContext,
) {
  const own = checkHeaders(asked.headers ?? {});
  const ruleFor = (target: URL) =>
    rules.find(({ host, methods }) => isAllowed(host, target) && (methods as string[]).includes(asked.method));
  const follows = asked.method === "GET" || asked.method === "HEAD";
  if (!follows) own["idempotency-key"] = callId;
  const rule = URL.canParse(asked.url) ? ruleFor(new URL(asked.url)) : undefined;
  const reach = guardedFetch({
    allowPrivate,
    allow: (target) => ruleFor(target) !== undefined,
    timeoutMs: TIMEOUT_MS,
    // The text is cut before; this is for what grows out of a small compressed answer.
    maxResponseBytes: 16 * MAX_BYTES,
  });
  const answer = await reach(asked.url, {
    method: asked.method,
    // The operator's come last: a model cannot put its own in their place.
    headers: { "user-agent": "callboard", ...own, ...lowerCase(rule?.headers ?? {}) },
    redirect: follows ? "follow" : "manual",
    signal,
    ...(asked.body === undefined ? {} : { body: asked.body }),
  });
  return {
    status: answer.status,
    url: answer.url,
    headers: Object.fromEntries(
      shown.flatMap((name) => (answer.headers.has(name) ? [[name, answer.headers.get(name)]] : [])),
    ),
    ...(await readBody(answer)),
  };
}

function checkHeaders(given: Record<string, string>): Record<string, string> {
  const kept = lowerCase(given);
  for (const name of Object.keys(kept)) {
    if (!sendable.has(name)) throw new Error(`the header ${name} cannot be sent; expected ${[...sendable].join(", ")}`);
  }
  return kept;
}

const lowerCase = (given: Record<string, string>) =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));

/** Text is shown, cut after `MAX_TEXT_CHARS`; anything else is described. */
async function readBody(answer: Response): Promise<{ text?: string; truncated?: true; not_text?: string }> {
  if (answer.body === null) return {};
  const type = answer.headers.get("content-type")?.toLowerCase() ?? "";
  if (!/^text\/|[/+](json|xml|yaml|csv|x-ndjson|javascript|x-www-form-urlencoded)\b|^$/.test(type)) {
    await answer.body.cancel();
    return { not_text: type };
  }
  const decoder = new TextDecoder(charset(type), { fatal: false });
  const reader = answer.body.getReader();
  let text = "";
  for (let bytes = 0; ; ) {
    const { done, value } = await reader.read();
    text += done ? decoder.decode() : decoder.decode(value, { stream: true });
    bytes += value?.length ?? 0;
    if (!done && text.length <= MAX_TEXT_CHARS && bytes <= MAX_BYTES) continue;
    if (!done) await reader.cancel();
    return text.length > MAX_TEXT_CHARS || !done ? { text: text.slice(0, MAX_TEXT_CHARS), truncated: true } : { text };
  }
}

function charset(type: string): string {
  const [, label = "utf-8"] = /charset="?([\w-]+)/.exec(type) ?? [];
  try {
    return new TextDecoder(label).encoding;
  } catch {
    return "utf-8";
  }
}
