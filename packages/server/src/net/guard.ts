/**
 * The guarded address check: which hosts the server may connect to on behalf of somebody else.
 *
 * ```
 * agent.createConnection ─┬─ literal address ──► checked before connecting; node:net never looks it up
 *                         └─ name ──► lookup ──► every resolved address, as it is connected to
 * ```
 *
 * G1  The addresses that were checked are the addresses that are connected to: a name cannot resolve to
 *     a public address for the check and to a private one for the connection.
 * G2  A name with one refused address is refused as a whole.
 * G3  Connections made under one policy are never reused under the other: each has its own agents.
 */
import { type LookupAddress, lookup as systemLookup } from "node:dns";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type LookupFunction, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { isRefusedAddress } from "./ranges.ts";

export type GuardOptions = {
  /** Allows loopback, private and other internal addresses; metadata addresses stay refused. */
  allowPrivate: boolean;
};

/** The host is, or resolves to, an address that must not be connected to. */
export class AddressRefusedError extends Error {
  readonly host: string;

  constructor(host: string, why = "is not on the public internet") {
    super(`the address of ${host} ${why}; connections to it are not allowed`);
    this.name = "AddressRefusedError";
    this.host = host;
  }
}

type Resolve = typeof systemLookup;

/**
 * A `lookup` for node:net, node:http and node:https that fails with AddressRefusedError.
 *
 * @param resolve stands in for the system's resolver
 */
export function guardedLookup(options: GuardOptions, resolve: Resolve = systemLookup): LookupFunction {
  return (hostname, lookupOptions, callback) => {
    resolve(hostname, { ...lookupOptions, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, "");
      const first = addresses[0];
      if (first === undefined || addresses.some(({ address }) => isRefusedAddress(address, options))) {
        return callback(new AddressRefusedError(hostname), "");
      }
      if (lookupOptions.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

export type GuardedAgents = { readonly http: HttpAgent; readonly https: HttpsAgent };

/**
 * How long a connection waits for its next call. Below the 5 s after which common servers close it, and
 * far below the minutes after which a router on the way forgets it without telling anybody.
 */
export const FREE_MS = 4000;

function guard<Kind extends HttpAgent>(agent: Kind, options: GuardOptions): Kind {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (target, callback) => {
    const host = (target as { host?: string | null }).host ?? "";
    if (isIP(host) === 0 || !isRefusedAddress(host, options)) return connect(target, callback);
    // The second argument is absent in fact when there is an error.
    callback?.(new AddressRefusedError(host), undefined as unknown as Duplex);
    return undefined;
  };

  const keep = agent.keepSocketAlive.bind(agent);
  agent.keepSocketAlive = (socket) => {
    const kept = keep(socket);
    // A free socket that emits `timeout` is destroyed by the agent. A server's own shorter hint stays.
    const { timeout } = socket as Socket;
    if (timeout === undefined || timeout === 0 || timeout > FREE_MS) (socket as Socket).setTimeout(FREE_MS);
    return kept;
  };

  const reuse = agent.reuseSocket.bind(agent);
  agent.reuseSocket = (socket, request) => {
    (socket as Socket).setTimeout(0);
    reuse(socket, request);
  };
  return agent;
}

function createAgents(options: GuardOptions): GuardedAgents {
  const shared = {
    keepAlive: true,
    maxSockets: Number.POSITIVE_INFINITY,
    noDelay: true,
    lookup: guardedLookup(options),
  };
  return { http: guard(new HttpAgent(shared), options), https: guard(new HttpsAgent(shared), options) };
}

const agents = new Map<boolean, GuardedAgents>();

/** The process's keep-alive agents for one policy. A refused address is their requests' `error` event. */
export function guardedAgents(options: GuardOptions): GuardedAgents {
  let found = agents.get(options.allowPrivate);
  if (found === undefined) {
    found = createAgents(options);
    agents.set(options.allowPrivate, found);
  }
  return found;
}
