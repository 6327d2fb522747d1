/**
 * One streamed HTTP POST to a provider: keep-alive, guarded, and ended by the first of end of body,
 * silence, size, refusal, abort.
 *
 * H1  Nothing of the answer is kept here; a body without end costs `maxResponseBytes` of traffic and no memory.
 * H2  An abort closes the connection at once.
 * H3  A call that waits holds no copy of its request's body, and about 8 KiB in all.
 */
import {
  AddressRefusedError,
  type Connection,
  type ConnectionUser,
  type Head,
  HttpSyntaxError,
  type IdleWatch,
  type Origin,
  openConnection,
  ResponseParser,
  type ResponseSink,
  watchIdle,
} from "../net/index.ts";
import { addressRefused, badResponse, statusError, streamCut, timedOut, tooLarge, unreachable } from "./errors.ts";

export type PostLimits = {
  allowPrivateNetwork: boolean;
  /** Milliseconds without a byte, the wait for the head included. */
  idleTimeoutMs: number;
  maxResponseBytes: number;
};

/** Where to post, and the request's head up to its length. */
export type PostTarget = { origin: Origin; head: string; limits: PostLimits };

export type PostReader = {
  /** The answer's media type in lower case, "" when absent. May throw a ModelError. */
  onHead(mediaType: string): void;
  /** The next bytes of the body. May throw a ModelError. */
  onData(slice: Buffer): void;
  /** What arrived together has been handed over. Returns true when the answer is complete, whatever follows. */
  onPause(): boolean;
};

/** How much may follow an answer that was complete or refused before its connection is given up. */
const MAX_LEFTOVER_BYTES = 64 * 1024;

/**
 * Prepares calls to one URL.
 *
 * @param url http or https
 * @param headers the caller has checked their values for line breaks
 */
export function postTarget(url: URL, headers: Record<string, string>, limits: PostLimits): PostTarget {
  const secure = url.protocol === "https:";
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  const lines = Object.entries({ host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return {
    origin: {
      secure,
      host,
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      allowPrivate: limits.allowPrivateNetwork,
    },
    head: `POST ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("")}content-length: `,
    limits,
  };
}

/**
 * Sends `body` and hands the answer to `reader`. Resolves at the end of the body, or when the reader
 * says so.
 *
 * @throws ModelError, or the signal's reason
 */
export function post(target: PostTarget, body: string, reader: PostReader, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const call = new Post(target.limits, reader, signal, resolve, reject);
    call.send(target.origin, `${target.head}${Buffer.byteLength(body)}\r\n\r\n${body}`);
  });
}

class Post implements ConnectionUser, ResponseSink, EventListenerObject {
  readonly #limits: PostLimits;
  readonly #reader: PostReader;
  readonly #signal: AbortSignal;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  readonly #parser: ResponseParser;
  #connection: Connection | undefined;
  #reused = false;
  #watch: IdleWatch | undefined;
  #settled = false;
  #size = 0;

  constructor(
    limits: PostLimits,
    reader: PostReader,
    signal: AbortSignal,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#limits = limits;
    this.#reader = reader;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#parser = new ResponseParser(this);
  }

  send(origin: Origin, message: string): void {
    try {
      this.#connection = openConnection(origin, this);
    } catch (error) {
      this.#fail(error instanceof AddressRefusedError ? addressRefused(error) : unreachable(error));
      return;
    }
    this.#reused = this.#connection.reused;
    this.#watch = watchIdle(this.#limits.idleTimeoutMs, () => this.#fail(timedOut(this.#limits.idleTimeoutMs)));
    this.#signal.addEventListener("abort", this, { once: true });
    this.#connection.write(message);
  }

  /** The signal was aborted. */
  handleEvent(): void {
    this.#fail(this.#signal.reason);
  }

  onBytes(chunk: Buffer): void {
    this.#watch?.touch();
    try {
      this.#parser.push(chunk);
      if (!this.#settled && this.#reader.onPause()) this.#settle();
    } catch (error) {
      this.#fail(error instanceof HttpSyntaxError ? badResponse(error.message, error) : error);
      return;
    }
    if (this.#parser.done) this.#finish();
  }

  onGone(error: Error | undefined): void {
    this.#connection = undefined;
    if (error === undefined && this.#parser.close()) this.#finish();
    else if (error instanceof AddressRefusedError) this.#fail(addressRefused(error));
    else if (this.#parser.begun) this.#fail(streamCut(error));
    // A kept connection that closes just as it is used again has not seen this call.
    else this.#fail(unreachable(error, this.#reused ? 0 : undefined));
  }

  onHead(head: Head): void {
    if (head.status !== 200) {
      this.#settle(statusError(head.status, head.header));
      return;
    }
    const encoding = head.header("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      this.#settle(badResponse("the model's answer is compressed, which was not asked for"));
      return;
    }
    const type = head.header("content-type") ?? "";
    const semicolon = type.indexOf(";");
    this.#reader.onHead((semicolon === -1 ? type : type.slice(0, semicolon)).trim().toLowerCase());
  }

  onBody(slice: Buffer): void {
    this.#size += slice.length;
    if (this.#settled) {
      if (this.#size > MAX_LEFTOVER_BYTES) this.#fail(undefined);
      return;
    }
    if (this.#size > this.#limits.maxResponseBytes) throw tooLarge(this.#limits.maxResponseBytes);
    this.#reader.onData(slice);
  }

  /** The answer has ended. */
  #finish(): void {
    this.#watch?.stop();
    if (this.#parser.keepAlive) this.#connection?.release();
    else this.#connection?.destroy();
    this.#connection = undefined;
    this.#settle();
  }

  /** Resolves or rejects. What is left of the body is read and dropped, so that the connection can be used again. */
  #settle(error?: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#size = 0;
    this.#signal.removeEventListener("abort", this);
    if (error === undefined) this.#resolve();
    else this.#reject(error);
  }

  /** Rejects, unless that is decided already, and closes the connection. */
  #fail(error: unknown): void {
    this.#watch?.stop();
    this.#connection?.destroy();
    this.#connection = undefined;
    this.#settle(error ?? streamCut());
  }
}
