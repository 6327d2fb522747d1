/**
 * The way in, for every route of the API and every endpoint: who is asking, and may another request come now?
 *
 *   address ─ failures ─▶ token or session ─▶ requests of the token and the organization ─▶ caller
 */
import type { IncomingMessage } from "node:http";
import { CallboardError, toUuid } from "@callboard/protocol";
import { type Authenticator, type Caller, RefusedToken } from "../access/index.ts";
import { type FailureLimit, network, type RequestLimits } from "../limits/index.ts";
import { findCaller } from "./caller.ts";
import type { Metrics } from "./metrics.ts";
import type { Site } from "./site.ts";

export type GateDeps = {
  authenticator: Authenticator;
  site: Site;
  requests: RequestLimits;
  failures: FailureLimit;
  metrics: Pick<Metrics, "limited" | "unauthenticated">;
  /** What a token and an organization without limits of their own have, in requests a minute; null for none. */
  defaults: { token: number | null; organization: number | null };
};

export class Gate {
  readonly #deps: GateDeps;

  constructor(deps: GateDeps) {
    this.#deps = deps;
  }

  /**
   * The caller of a request, which counts as one from here on.
   *
   * @throws unauthenticated, rate_limited, unavailable
   */
  async enter(incoming: IncomingMessage): Promise<Caller> {
    try {
      const caller = await this.#authenticate(incoming);
      const wait = this.#admit(caller);
      if (wait !== undefined) await wait;
      return caller;
    } catch (error) {
      if (error instanceof CallboardError && error.code === "rate_limited") {
        this.#deps.metrics.limited(String(error.details.limit));
      }
      throw error;
    }
  }

  /** Whoever comes with a token that was good a moment ago is not held up by others at the same address. */
  async #authenticate(incoming: IncomingMessage): Promise<Caller> {
    const { authenticator, site, failures, metrics } = this.#deps;
    if (authenticator.remembers(incoming.headers.authorization, site.sessionOf(incoming))) {
      return findCaller(this.#deps, incoming);
    }
    const address = network(site.clientOf(incoming).address ?? "");
    failures.require(address);
    try {
      return await findCaller(this.#deps, incoming);
    } catch (error) {
      if (error instanceof CallboardError && error.code === "unauthenticated") {
        failures.failed(address);
        metrics.unauthenticated(error instanceof RefusedToken ? error.token.reason : "unknown");
      }
      throw error;
    }
  }

  #admit({ organizationId, tokenId, kind, limits }: Caller): Promise<void> | undefined {
    const { requests, defaults } = this.#deps;
    const organization = toUuid(organizationId);
    const own = limits.requestsPerMinute;
    // People make their own tokens, so those only lower what the server gives.
    const ofToken =
      own === null || defaults.token === null || kind === "service"
        ? (own ?? defaults.token)
        : Math.min(own, defaults.token);
    return requests.admit([
      { kind: "token", organization, id: toUuid(tokenId), perMinute: ofToken },
      {
        kind: "organization",
        organization,
        id: organization,
        perMinute: limits.organizationRequestsPerMinute ?? defaults.organization,
      },
    ]);
  }
}
