/**
 * Talking to an OpenID Connect issuer, through the guarded fetch.
 *
 * What the library checks: `iss` of the answer where the issuer sends it, `state`, the ID token's signature, issuer,
 * audience, expiry, nonce, and the code's PKCE verifier. What its claims mean here is `joining.ts`.
 */
import { CallboardError } from "@callboard/protocol";
import type * as oidc from "openid-client";
import { Lru } from "../access/index.ts";
import { AddressRefusedError, GuardedFetchError, guardedFetch } from "../net/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import { type ConnectionRow, openSecret } from "./connections.ts";

const TIMEOUT_MS = 10_000;
/** Discovery documents and their keys are read again after so long. */
const KEPT_MS = 600_000;
const KEPT = 200;
const MAX_BYTES = 1024 * 1024;

export type Claims = Readonly<Record<string, unknown>> & { readonly iss: string; readonly sub: string };
/** The random values of one sign-in. */
export type Proofs = { readonly state: string; readonly nonce: string; readonly verifier: string };

export type IssuerOptions = {
  readonly keys: SecretKeys;
  /** Issuers on private addresses, and without TLS: for development and tests. */
  readonly allowPrivate: boolean;
};

export class Issuers {
  readonly #keys: SecretKeys;
  readonly #allowPrivate: boolean;
  readonly #fetch: oidc.CustomFetch;
  readonly #known = new Lru<string, { config: oidc.Configuration; atMs: number }>(KEPT);

  constructor({ keys, allowPrivate }: IssuerOptions) {
    this.#keys = keys;
    this.#allowPrivate = allowPrivate;
    this.#fetch = guardedFetch({
      allowPrivate,
      timeoutMs: TIMEOUT_MS,
      maxResponseBytes: MAX_BYTES,
    }) as oidc.CustomFetch;
  }

  /** Where to send the browser. @throws sso_failed */
  async authorizationUrl(row: ConnectionRow, redirectUri: string, proofs: Proofs): Promise<string> {
    const oidc = await library();
    const config = await this.#config(row);
    const challenge = await oidc.calculatePKCECodeChallenge(proofs.verifier);
    return oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: "openid email profile",
      state: proofs.state,
      nonce: proofs.nonce,
      code_challenge: challenge,
      code_challenge_method: "S256",
    }).href;
  }

  /**
   * The claims behind the answer an issuer sent the browser back with.
   *
   * @param answer the redirect address with the issuer's parameters
   * @throws sso_refused when the issuer refused or its answer is not right, sso_failed when it cannot be asked
   */
  async claims(row: ConnectionRow, answer: URL, proofs: Proofs): Promise<Claims> {
    const oidc = await library();
    const config = await this.#config(row);
    try {
      const tokens = await oidc.authorizationCodeGrant(config, answer, {
        pkceCodeVerifier: proofs.verifier,
        expectedState: proofs.state,
        expectedNonce: proofs.nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims() as Claims;
      if (!lacks(claims, row)) return claims;
      // Many issuers keep the ID token small and tell address and groups here.
      const more = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
      return { ...more, ...claims };
    } catch (cause) {
      throw toRefusal(cause);
    }
  }

  async #config(row: ConnectionRow): Promise<oidc.Configuration> {
    const key = `${row.id} ${row.updated_at}`;
    const known = this.#known.get(key);
    if (known !== undefined && Date.now() - known.atMs < KEPT_MS) return known.config;
    const config = await this.#discover(row);
    this.#known.set(key, { config, atMs: Date.now() });
    return config;
  }

  async #discover(row: ConnectionRow): Promise<oidc.Configuration> {
    const oidc = await library();
    const secret = openSecret(this.#keys, row);
    const url = new URL(row.issuer);
    const insecure = this.#allowPrivate && url.protocol === "http:";
    const execute = [oidc.enableNonRepudiationChecks, ...(insecure ? [oidc.allowInsecureRequests] : [])];
    try {
      const found = await oidc.discovery(url, row.client_id, undefined, oidc.None(), {
        [oidc.customFetch]: this.#fetch,
        execute,
        timeout: TIMEOUT_MS / 1000,
      });
      const server = found.serverMetadata();
      const config = new oidc.Configuration(server, row.client_id, undefined, clientAuth(oidc, secret, server));
      config[oidc.customFetch] = this.#fetch;
      config.timeout = TIMEOUT_MS / 1000;
      for (const apply of execute) apply(config);
      return config;
    } catch (cause) {
      throw new CallboardError("sso_failed", "the issuer of single sign-on could not be asked", {}, { cause });
    }
  }
}

/** Read when somebody signs in this way: a start of the server does not wait for it. */
const library = () => import("openid-client");

/** Source: OpenID Connect Discovery 1.0, section 3: basic where the issuer names no methods. */
function clientAuth(
  { None, ClientSecretBasic, ClientSecretPost }: typeof oidc,
  secret: string | null,
  server: oidc.ServerMetadata,
): oidc.ClientAuth {
  if (secret === null) return None();
  const methods = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  return methods.includes("client_secret_basic") ? ClientSecretBasic(secret) : ClientSecretPost(secret);
}

const lacks = (claims: Claims, { groups_claim }: ConnectionRow): boolean =>
  claims.email === undefined || (groups_claim !== null && claims[groups_claim] === undefined);

/** Whether the issuer could not be asked, or answered what must be refused. */
function toRefusal(cause: unknown): CallboardError {
  for (let error = cause; error instanceof Error; error = error.cause) {
    const { name } = error;
    if (error instanceof GuardedFetchError || error instanceof AddressRefusedError || name === "TimeoutError") {
      return new CallboardError("sso_failed", "the issuer of single sign-on could not be asked", {}, { cause });
    }
  }
  const { code } = cause as { code?: unknown };
  const why = typeof code === "string" && /^[A-Z_]{1,80}$/.test(code) ? ` (${code})` : "";
  return new CallboardError("sso_refused", `the issuer's answer does not let this person in${why}`, {}, { cause });
}
