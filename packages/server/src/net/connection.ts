/**
 * Kept-alive connections to other people's servers, checked like all of them. A connection carries one
 * call at a time; between two calls it waits in a pool for its origin.
 */
import { isIP, connect as netConnect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { AddressRefusedError, FREE_MS, guardedLookup } from "./guard.ts";
import { isRefusedPort } from "./ports.ts";
import { isRefusedAddress } from "./ranges.ts";

export type Origin = { secure: boolean; host: string; port: number; allowPrivate: boolean };

/** The call that a connection carries. */
export interface ConnectionUser {
  onBytes(chunk: Buffer): void;
  /** The connection is gone; `error` is absent when the other side closed it in good order. */
  onGone(error: Error | undefined): void;
}

/** How many connections of one origin may wait for their next call. */
const MAX_FREE = 256;
const MAX_SESSIONS = 256;

const pools = new Map<string, Connection[]>();
/** TLS tickets, so that the next handshake is short. */
const sessions = new Map<string, Buffer>();

export class Connection {
  readonly #socket: Socket;
  readonly #key: string;
  #user: ConnectionUser | undefined;
  #error: Error | undefined;
  /** Whether it has carried a call before this one. */
  reused = false;

  constructor(socket: Socket, key: string, user: ConnectionUser) {
    this.#socket = socket;
    this.#key = key;
    this.#user = user;
    socket.on("data", (chunk: Buffer) => {
      // Bytes outside a call could be taken for the answer to the next one.
      if (this.#user === undefined) socket.destroy();
      else this.#user.onBytes(chunk);
    });
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("timeout", () => socket.destroy());
    socket.on("close", () => {
      const user = this.#user;
      this.#user = undefined;
      if (user === undefined) forget(this.#key, this);
      else user.onGone(this.#error);
    });
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Takes it out of the pool for another call; false when it has closed meanwhile. */
  take(user: ConnectionUser): boolean {
    if (this.#socket.destroyed || this.#socket.readableEnded || !this.#socket.writable) return false;
    this.#user = user;
    this.reused = true;
    this.#socket.setTimeout(0);
    this.#socket.ref();
    return true;
  }

  /** The call is over and left the connection in good order. */
  release(): void {
    this.#user = undefined;
    let free = pools.get(this.#key);
    if (free === undefined) {
      free = [];
      pools.set(this.#key, free);
    }
    // An answer that came before its request was sent leaves the rest of the request behind.
    if (free.length >= MAX_FREE || this.#socket.writableLength > 0 || this.#socket.destroyed) {
      this.#socket.destroy();
      return;
    }
    free.push(this);
    this.#socket.setTimeout(FREE_MS);
    // A waiting connection does not keep the process alive.
    this.#socket.unref();
  }

  /** Closes it at once; the user hears nothing more. */
  destroy(): void {
    this.#user = undefined;
    this.#socket.destroy();
  }
}

function forget(key: string, connection: Connection): void {
  const free = pools.get(key);
  const at = free?.indexOf(connection) ?? -1;
  if (free === undefined || at === -1) return;
  free.splice(at, 1);
  if (free.length === 0) pools.delete(key);
}

/**
 * A free connection of the origin, the one used last first, or a new one. Writing to it may begin at once.
 *
 * @throws AddressRefusedError for a literal address; a name that resolves to one is told to `onGone`
 */
export function openConnection(origin: Origin, user: ConnectionUser): Connection {
  const { secure, host, port, allowPrivate } = origin;
  const key = `${secure ? "https" : "http"} ${host} ${port} ${allowPrivate}`;
  const free = pools.get(key);
  for (let connection = free?.pop(); connection !== undefined; connection = free?.pop()) {
    if (connection.take(user)) return connection;
  }
  if (isIP(host) !== 0 && isRefusedAddress(host, { allowPrivate })) throw new AddressRefusedError(host);
  if (isRefusedPort(String(port))) throw new AddressRefusedError(`${host}:${port}`, "has a port of another protocol");

  const lookup = guardedLookup({ allowPrivate });
  if (!secure) return new Connection(netConnect({ host, port, lookup, ...socketOptions }), key, user);

  const session = sessions.get(key);
  const socket = tlsConnect({
    host,
    port,
    lookup,
    ...socketOptions,
    ALPNProtocols: ["http/1.1"],
    ...(isIP(host) === 0 && { servername: host }),
    ...(session !== undefined && { session }),
  });
  socket.on("session", (ticket) => {
    if (sessions.size >= MAX_SESSIONS) sessions.clear();
    sessions.set(key, ticket);
  });
  return new Connection(socket, key, user);
}

// The probes find out that a router on the way has forgotten a call that waits for minutes.
const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 };
