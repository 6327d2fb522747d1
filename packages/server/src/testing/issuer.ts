/** OpenID Connect issuers for tests: a real one, and one that answers what it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import Provider from "oidc-provider";

/** Who is at the issuer: `sub`, and the claims it tells of them. */
export type Account = { sub: string } & Record<string, unknown>;
export type Client = { id: string; secret: string; redirectUri: string };

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

async function listen(make: (issuer: string) => Listener | Promise<Listener>) {
  let listener: Listener = () => undefined;
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  listener = await make(issuer);
  const stop = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { issuer, stop };
}

/** A complete issuer (`oidc-provider`), with PKCE required. Whoever comes there is logged in as `account`. */
export async function startIssuer() {
  const clients: Array<Record<string, unknown>> = [];
  let account: Account = { sub: "nobody" };
  let provider!: Provider;
  const adapterClient = (id: string) => clients.find(({ client_id }) => client_id === id);
  const { issuer, stop } = await listen((address) => {
    provider = new Provider(address, {
      clients: [],
      cookies: { keys: ["test"] },
      pkce: { required: () => true },
      claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_, { uid }) => `/login/${uid}` },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ ...account, sub: id }) }),
      async loadExistingGrant({ oidc }) {
        const grant = new oidc.provider.Grant({
          clientId: oidc.client?.clientId as string,
          accountId: oidc.session?.accountId as string,
        });
        grant.addOIDCScope("openid email profile");
        await grant.save();
        return grant;
      },
    });
    const find = provider.Client.find.bind(provider.Client);
    // Clients are registered by the tests, after the issuer is there.
    provider.Client.find = async (id: string) => {
      const known = adapterClient(id);
      if (known === undefined) return find(id);
      const Known = provider.Client as unknown as new (metadata: object) => Awaited<ReturnType<typeof find>>;
      return new Known(known);
    };
    const answer = provider.callback();
    return (request, response) => {
      if (!request.url?.startsWith("/login/")) return answer(request, response);
      return provider.interactionFinished(request, response, { login: { accountId: account.sub } });
    };
  });
  return {
    issuer,
    stop,
    register({ id, secret, redirectUri }: Client): void {
      clients.push({
        client_id: id,
        client_secret: secret,
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      });
    },
    /** What a browser without a session there does: logs in as that account. @returns where it is sent back to */
    async logIn(url: string, as: Account): Promise<string> {
      account = as;
      const jar = new Map<string, string>();
      for (let at = url; ; ) {
        const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
        const response = await fetch(at, { redirect: "manual", headers: { cookie } });
        for (const line of response.headers.getSetCookie()) {
          const [name = "", value = ""] = (line.split(";")[0] as string).split("=");
          jar.set(name, value);
        }
        const location = response.headers.get("location");
        if (location === null) throw new Error(`the issuer answered ${response.status}: ${await response.text()}`);
        at = new URL(location, issuer).href;
        if (!at.startsWith(issuer)) return at;
      }
    },
    /** Ends a code, as its time would. */
    async expire(code: string): Promise<void> {
      await (await provider.AuthorizationCode.find(code))?.destroy();
    },
  };
}

/** An issuer whose token endpoint answers with an ID token of exactly these claims, signed with its key. */
export async function startCrookedIssuer() {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const other = await generateKeyPair("RS256");
  const jwk = { ...(await exportJWK(publicKey)), kid: "one", alg: "RS256", use: "sig" };
  const told: { claims: JWTPayload; forged: boolean; down: boolean } = { claims: {}, forged: false, down: false };
  const { issuer, stop } = await listen((address) => async (request, response) => {
    const send = (body: unknown, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (told.down) return request.socket.destroy();
    if (request.url?.startsWith("/.well-known/")) {
      return send({
        issuer: address,
        authorization_endpoint: `${address}/authorize`,
        token_endpoint: `${address}/token`,
        jwks_uri: `${address}/jwks`,
        response_types_supported: ["code"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["RS256"],
        authorization_response_iss_parameter_supported: true,
      });
    }
    if (request.url === "/jwks") return send({ keys: [jwk] });
    const key = told.forged ? other.privateKey : privateKey;
    const token = new SignJWT(told.claims).setProtectedHeader({ alg: "RS256", kid: "one" });
    return send({ access_token: "a", token_type: "Bearer", expires_in: 60, id_token: await token.sign(key) });
  });
  return { issuer, stop, told };
}
