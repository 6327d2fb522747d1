/** A browser for tests, as far as cookies and headers go: it keeps cookies and says where its requests come from. */
import type { Answer } from "./http-client.ts";

type Sending = { json?: unknown; headers?: Record<string, string> };

export class Browser {
  readonly baseUrl: string;
  /** Name → value, of this one host. */
  readonly cookies = new Map<string, string>();
  /** The `Set-Cookie` lines of the last answer. */
  lastCookies: string[] = [];
  /** Sent as `X-CSRF-Token` when it is there, as our own pages do. */
  csrfToken: string | undefined;

  constructor(baseUrl: string) {
    this.baseUrl = baseUrl;
  }

  get = (path: string, sending: Sending = {}): Promise<Answer> => this.send("GET", path, sending);
  post = (path: string, json?: unknown, sending: Sending = {}): Promise<Answer> =>
    this.send("POST", path, json === undefined ? sending : { ...sending, json });
  delete = (path: string, sending: Sending = {}): Promise<Answer> => this.send("DELETE", path, sending);

  /** A request of a page of the server's own to its API. */
  async send(method: string, path: string, sending: Sending = {}): Promise<Answer> {
    const response = await this.fetch(`${this.baseUrl}/api/v1${path}`, {
      method,
      headers: {
        ...(method === "GET" ? {} : { origin: this.baseUrl, "sec-fetch-site": "same-origin" }),
        ...(this.csrfToken === undefined ? {} : { "x-csrf-token": this.csrfToken }),
        ...(sending.json === undefined ? {} : { "content-type": "application/json" }),
        ...sending.headers,
      },
      ...(sending.json === undefined ? {} : { body: JSON.stringify(sending.json) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    const body = isJson && text !== "" ? JSON.parse(text) : undefined;
    // What a page does with the answer that signs it in.
    if (typeof body?.csrf_token === "string") this.csrfToken = body.csrf_token;
    return { method, path, status: response.status, headers: response.headers, text, body };
  }

  /** Signs in and keeps the session. */
  signIn(email: string, password: string, more: Record<string, string> = {}): Promise<Answer> {
    return this.post("/session", { email, password, ...more });
  }

  /** One hop to any address of this host or another; redirects are not followed. */
  async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const isOwn = url.startsWith(this.baseUrl);
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = new Headers(init.headers);
    if (isOwn && cookie !== "") headers.set("cookie", cookie);
    const response = await fetch(url, { ...init, redirect: "manual", headers });
    if (isOwn) this.#keep(response.headers.getSetCookie());
    return response;
  }

  #keep(lines: string[]): void {
    this.lastCookies = lines;
    for (const line of lines) {
      const [pair = "", ...attributes] = line.split("; ");
      const at = pair.indexOf("=");
      const name = pair.slice(0, at);
      if (attributes.includes("Max-Age=0")) this.cookies.delete(name);
      else this.cookies.set(name, pair.slice(at + 1));
    }
  }
}
