/** The session of a person, for the one command that needs it. */
import { createClient } from "@callboard/client";

export type Session = {
  /** For a client: sends and keeps the session's cookie. */
  fetch: typeof globalThis.fetch;
  signIn(email: string, password: string): Promise<void>;
  /** Signs out, if anybody is signed in. */
  end(): Promise<void>;
};

export function createSession(baseUrl: string): Session {
  const cookies = new Map<string, string>();
  let csrfToken: string | undefined;

  const send: typeof globalThis.fetch = async (url, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set("user-agent", "callboard command line"); // what the list of sessions shows
    if (cookies.size > 0) headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    if (csrfToken !== undefined && init.method !== "GET") headers.set("x-csrf-token", csrfToken);
    const response = await fetch(url, { ...init, headers });
    for (const line of response.headers.getSetCookie()) keep(line);
    return response;
  };

  function keep(line: string): void {
    const [pair = ""] = line.split(";");
    const at = pair.indexOf("=");
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (value === "") cookies.delete(name);
    else cookies.set(name, value);
  }

  const client = createClient({ baseUrl, fetch: send });
  return {
    fetch: send,

    async signIn(email, password) {
      ({ csrf_token: csrfToken } = await client.session.signIn({ email, password }));
    },

    async end() {
      if (cookies.size === 0) return;
      // Another one than at first, if the command changed the password or the organization.
      ({ csrf_token: csrfToken } = await client.session.get());
      await client.session.signOut();
    },
  };
}
