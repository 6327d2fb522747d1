/**
 * What a browser brings along and is given: the session's cookie, and the proof that a request comes from our own pages.
 *
 * B1: a cookie is `__Host-`: sent over TLS to this host alone, for all paths, out of reach of scripts. Browsers disagree
 *     about such cookies on http://127.0.0.1, so there, and only there, it has a plain name and no `Secure`. Where the
 *     operator named no address, the one that the browser used decides, not the one that the server listens on.
 * B2: a request by cookie that may change something proves its origin three times over: `SameSite=Lax`, the headers
 *     `Origin` and `Sec-Fetch-Site` where the browser sends them, and `X-CSRF-Token`, which only our pages can read.
 * B3: a request with `Authorization` is judged by that alone; its cookies are not looked at.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { CallboardError } from "@callboard/protocol";
import type { Client } from "../access/index.ts";

export type SiteOptions = {
  /** The address people reach the server at, when the operator said so. */
  readonly publicUrl: string | undefined;
  /** Proxies in front that add to `X-Forwarded-For`. */
  readonly proxies: number;
};

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/;
const SAFE = new Set(["GET", "HEAD"]);
const refused = (why: string) => new CallboardError("csrf_refused", `the request does not come from this site: ${why}`);

export class Site {
  readonly #proxies: number;
  readonly #given: string | undefined;
  #publicUrl: string;

  constructor({ publicUrl, proxies }: SiteOptions) {
    this.#proxies = proxies;
    this.#given = publicUrl;
    this.#publicUrl = publicUrl ?? "http://127.0.0.1";
  }

  /** Once it is known where the server listens: its address where the operator gave none. */
  listening(host: string, port: number): void {
    const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
    if (this.#given === undefined) this.#publicUrl = `http://${shown}:${port}`;
  }

  /** Without a slash at the end. */
  get publicUrl(): string {
    return this.#publicUrl;
  }

  /** The secret in the session's cookie. */
  sessionOf(incoming: IncomingMessage): string | undefined {
    return cookie(incoming, this.#name(incoming, "session"));
  }

  sessionCookie(incoming: IncomingMessage, secret: string, expiresAtMs: number): string {
    return this.#cookie(incoming, "session", secret, Math.max(0, Math.floor((expiresAtMs - Date.now()) / 1000)));
  }

  noSessionCookie(incoming: IncomingMessage): string {
    return this.#cookie(incoming, "session", "", 0);
  }

  /** The secret that binds a sign-in at an issuer to this browser. */
  attemptOf(incoming: IncomingMessage): string | undefined {
    const text = cookie(incoming, this.#name(incoming, "sso"));
    return text !== undefined && /^[0-9A-Za-z]{43}$/.test(text) ? text : undefined;
  }

  attemptCookie(incoming: IncomingMessage, secret: string, seconds: number): string {
    return this.#cookie(incoming, "sso", secret, seconds);
  }

  /** For our own pages, which alone can read it: the answers have no CORS headers. */
  csrfToken(sessionSecret: string): string {
    return createHmac("sha256", sessionSecret).update("csrf").digest("base64url");
  }

  /** B2, for a request by cookie. @throws csrf_refused */
  requireProof(incoming: IncomingMessage, sessionSecret: string): void {
    if (SAFE.has(incoming.method ?? "")) return;
    this.requireOwnOrigin(incoming);
    const given = incoming.headers["x-csrf-token"];
    if (typeof given !== "string") throw refused("expected the header X-CSRF-Token with the session's csrf_token");
    const [a, b] = [Buffer.from(given), Buffer.from(this.csrfToken(sessionSecret))];
    if (a.length !== b.length || !timingSafeEqual(a, b)) throw refused("X-CSRF-Token is another session's");
  }

  /** What a browser says of the page that sent a request, where it says so. @throws csrf_refused */
  requireOwnOrigin({ headers }: IncomingMessage): void {
    const from = headers["sec-fetch-site"];
    if (from !== undefined && from !== "same-origin") throw refused(`Sec-Fetch-Site is ${String(from).slice(0, 40)}`);
    const { origin } = headers;
    if (origin === undefined) return;
    const own = this.#given === undefined ? headers.host : new URL(this.#given).host;
    const isOwn = URL.canParse(origin) && new URL(origin).host === own;
    const scheme = this.#given === undefined ? undefined : new URL(this.#given).protocol;
    if (!isOwn || (scheme !== undefined && new URL(origin).protocol !== scheme)) throw refused("Origin is another one");
  }

  clientOf(incoming: IncomingMessage): Client {
    const agent = incoming.headers["user-agent"];
    return { userAgent: agent === undefined ? null : clean(agent).slice(0, 300), address: this.#addressOf(incoming) };
  }

  /** The address of the other end: what the nearest proxy we know of saw, never what a client wrote itself. */
  #addressOf({ headers, socket }: IncomingMessage): string | null {
    const direct = socket.remoteAddress ?? null;
    if (this.#proxies === 0) return direct;
    const hops = String(headers["x-forwarded-for"] ?? "")
      .split(",")
      .map((hop) => clean(hop).trim())
      .filter((hop) => hop !== "");
    return hops.at(-this.#proxies)?.slice(0, 64) ?? direct;
  }

  #isLocal({ headers }: IncomingMessage): boolean {
    const address = this.#given ?? `http://${headers.host ?? ""}`;
    if (!URL.canParse(address)) return false;
    const { protocol, hostname } = new URL(address);
    return protocol === "http:" && LOOPBACK.test(hostname);
  }

  #name(incoming: IncomingMessage, use: "session" | "sso"): string {
    return `${this.#isLocal(incoming) ? "" : "__Host-"}callboard_${use}`;
  }

  #cookie(incoming: IncomingMessage, use: "session" | "sso", value: string, seconds: number): string {
    const secure = this.#isLocal(incoming) ? "" : " Secure;";
    return `${this.#name(incoming, use)}=${value}; Path=/; Max-Age=${seconds};${secure} HttpOnly; SameSite=Lax`;
  }
}

/** Header text that the database can hold. */
const clean = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?");

/** A cookie's value; undefined when it is not there, and when it is there twice: somebody else may have set one. */
function cookie({ headers }: IncomingMessage, name: string): string | undefined {
  const found = (headers.cookie ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`));
  const value = found[0]?.slice(name.length + 1);
  return found.length === 1 && value !== "" ? value : undefined;
}
