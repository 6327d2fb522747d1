/** Refusals as a page: for addresses that a browser is sent to by others, where nobody's script reads the answer. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestId, RouteName } from "@callboard/protocol";
import type { Logger } from "../log/index.ts";
import { logFault, type Refusal, retryAfter, toRefusal } from "./errors.ts";

const pages: ReadonlySet<RouteName> = new Set<RouteName>(["sso.start", "sso.callback"]);

/** A browser that shows what it is answered. */
export const wantsPage = (name: RouteName, { headers }: IncomingMessage): boolean =>
  pages.has(name) && /\btext\/html\b/i.test(headers.accept ?? "");

/** @param again the address to begin anew at; absent where there is none */
export function sendErrorPage(
  outgoing: ServerResponse,
  error: unknown,
  requestId: RequestId,
  log: Logger,
  again?: string,
): void {
  const refusal = toRefusal(error);
  logFault(refusal, error, requestId, log);
  if (outgoing.headersSent) {
    outgoing.destroy();
    return;
  }
  const text = toPage(refusal, requestId, again);
  outgoing.writeHead(refusal.status, {
    "content-type": "text/html; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "content-security-policy":
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-request-id": requestId,
    ...retryAfter(refusal),
  });
  outgoing.end(text);
}

/** The code and the request's id are for whoever is asked for help. */
function toPage({ code, message }: Refusal, requestId: RequestId, again: string | undefined): string {
  const link = again === undefined ? "" : `<p><a href="${toText(again)}">Try again</a></p>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign-in did not work</title><style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}
main{max-width:32rem;margin:12vh auto;padding:0 1rem}small{opacity:.7}</style><main><h1>Sign-in did not work</h1>
<p>${toText(message.slice(0, 1).toUpperCase() + message.slice(1))}.</p>${link}
<p><small>${toText(code)}, ${toText(requestId)}</small></p></main></html>`;
}

const toText = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
