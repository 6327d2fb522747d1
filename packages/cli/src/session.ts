/** The session of a person, for the one command that needs it. */
import { createClient } from "@callboard/client";

export type Session = {
  /** For a client: signs in before its first request where somebody is named, and keeps the session's cookie. */
  fetch: typeof globalThis.fetch;
  /** Signs out, if anybody is signed in. */
  end(): Promise<void>;
};

export type SignIn = { email: string; password: () => Promise<string> };

/** @param who signs in before the first request; nobody for requests that ask for no caller */
export function createSession(baseUrl: string, who?: SignIn): Session {
  const cookies = new Map<string, string>();
  let csrfToken: string | undefined;
  let ready: Promise<void> | undefined;

  async function send(url: Parameters<typeof fetch>[0], init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (cookies.size > 0) headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    if (csrfToken !== undefined && init.method !== "GET") headers.set("x-csrf-token", csrfToken);
    const response = await fetch(url, { ...init, headers });
    for (const line of response.headers.getSetCookie()) keep(line);
    return response;
  }

  function keep(line: string): void {
    const [pair = ""] = line.split(";");
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (value === "") cookies.delete(name);
    else cookies.set(name, value);
  }

  const client = createClient({ baseUrl, fetch: send });

  async function signIn({ email, password }: SignIn): Promise<void> {
    const signedIn = await client.session.signIn({ email, password: await password() });
    csrfToken = signedIn.csrf_token;
  }

  return {
    async fetch(url, init) {
      if (who !== undefined) ready ??= signIn(who);
      await ready;
      return send(url, init);
    },

    async end() {
      if (cookies.size === 0) return;
      // Another one than at first, if the command changed the password or the organization.
      ({ csrf_token: csrfToken } = await client.session.get());
      await client.session.signOut();
    },
  };
}
