/**
 * Events of a thread or a job as server-sent events, written straight to the socket.
 *
 * A reader that is slow is left alone until its socket drains and then reads the log on; one that does not
 * read for half a minute is cut. Nothing is skipped and nothing is held in memory for it.
 */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { CallboardError, type RunId, terminalEventTypes, toUuid } from "@callboard/protocol";
import type { Authenticator, Caller } from "../access/index.ts";
import { eventFrame, type LoggedEvent } from "../events/index.ts";
import type { Wakes } from "../storage/index.ts";

const HEARTBEAT_MS = 15_000;
const STALLED_MS = 30_000;
/** What a client waits before it connects again, in milliseconds. */
const RETRY_MS = 1000;

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};
const TERMINAL: ReadonlySet<string> = new Set(terminalEventTypes);

/** Where a stream's events come from, after the place its client named. */
export type Source = (reader: Reader) => { resume(): void; close(): void };
type Reader = {
  /** Takes events in order. Answers false when it wants no more until `resume` is called. */
  deliver(events: readonly LoggedEvent[]): boolean;
  /** Nothing follows. */
  end(): void;
};

/** `Last-Event-ID`: the number of the last event a client has. */
export function lastEventId(headers: IncomingHttpHeaders): number | undefined {
  const header = headers["last-event-id"];
  return typeof header === "string" && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

/** Whether a caller may read what a stream shows: asked again of the caller as it stands later. @throws a refusal */
export type MayRead = (caller: Caller) => unknown;

class Stream {
  readonly caller: Caller;
  readonly mayRead: MayRead;
  readonly #outgoing: ServerResponse;
  /** How the last event to be sent names its run; undefined for a stream without an end. */
  readonly #lastRun: string | undefined;
  #follower: ReturnType<Source> | undefined;
  /** When the socket stopped taking bytes; undefined while it takes them. */
  stalledSinceMs: number | undefined;

  constructor(outgoing: ServerResponse, caller: Caller, mayRead: MayRead, untilRun: RunId | undefined) {
    this.#outgoing = outgoing;
    this.caller = caller;
    this.mayRead = mayRead;
    this.#lastRun = untilRun === undefined ? undefined : `"run_id":"${untilRun}"`;
  }

  open(source: Source, onClose: () => void): void {
    const outgoing = this.#outgoing;
    outgoing.cork();
    outgoing.writeHead(200, HEADERS);
    if (outgoing.req.method === "HEAD") {
      outgoing.end();
      onClose();
      return;
    }
    outgoing.write(`retry: ${RETRY_MS}\n\n`);
    outgoing.on("drain", () => {
      this.stalledSinceMs = undefined;
      this.#follower?.resume();
    });
    outgoing.on("close", () => {
      this.#follower?.close();
      onClose();
    });
    this.#follower = source({
      deliver: (events) => this.#deliver(events),
      end: () => outgoing.end(),
    });
    outgoing.uncork();
  }

  heartbeat(): void {
    if (this.stalledSinceMs === undefined) this.#outgoing.write(":\n\n");
  }

  cut(): void {
    this.#outgoing.destroy();
  }

  end(): void {
    this.#follower?.close();
    this.#outgoing.end();
  }

  #deliver(events: readonly LoggedEvent[]): boolean {
    let text = "";
    for (const event of events) {
      text += eventFrame(event);
      if (this.#lastRun !== undefined && TERMINAL.has(event.type) && event.body.includes(this.#lastRun)) {
        this.#outgoing.end(text);
        return false;
      }
    }
    const ready = this.#outgoing.write(text);
    if (!ready) this.stalledSinceMs = Date.now();
    return ready;
  }
}

export class Streams {
  readonly #authenticator: Authenticator;
  readonly #streams = new Set<Stream>();
  readonly #timers: NodeJS.Timeout[];
  readonly #unsubscribe: () => void;

  constructor(authenticator: Authenticator, wakes: Wakes) {
    this.#authenticator = authenticator;
    this.#unsubscribe = wakes.on("access", (keys) => void this.#recheck(keys));
    this.#timers = [
      setInterval(() => this.#beat(), HEARTBEAT_MS),
      // A wake-up may be lost; and a token's end is nobody's act.
      setInterval(() => this.#endExpired(), 1000),
      setInterval(() => void this.#recheck(["*"]), HEARTBEAT_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Streams open now. */
  get size(): number {
    return this.#streams.size;
  }

  /** @param untilRun the stream ends after this run's terminal event, which is still to come; undefined for never */
  open(outgoing: ServerResponse, caller: Caller, mayRead: MayRead, source: Source, untilRun?: RunId): void {
    const stream = new Stream(outgoing, caller, mayRead, untilRun);
    this.#streams.add(stream);
    stream.open(source, () => this.#streams.delete(stream));
  }

  /** A stream with nothing to come: what it was to end with is behind its reader. */
  openEnded(outgoing: ServerResponse): void {
    outgoing.writeHead(200, HEADERS);
    outgoing.end(`retry: ${RETRY_MS}\n\n`);
  }

  /** Ends all streams; their clients resume elsewhere, or here after the restart. */
  stop(): void {
    this.#unsubscribe();
    for (const timer of this.#timers) clearInterval(timer);
    for (const stream of this.#streams) stream.end();
  }

  #beat(): void {
    const nowMs = Date.now();
    for (const stream of this.#streams) {
      if (stream.stalledSinceMs !== undefined && nowMs - stream.stalledSinceMs > STALLED_MS) stream.cut();
      else stream.heartbeat();
    }
  }

  #endExpired(): void {
    const nowMs = Date.now();
    for (const stream of this.#streams) {
      const { expiresAtMs } = stream.caller;
      if (expiresAtMs !== null && expiresAtMs <= nowMs) stream.end();
    }
  }

  /** Access changed: streams whose caller may not read on are closed. One read for each secret of a token. */
  async #recheck(organizations: readonly string[]): Promise<void> {
    const bySecret = new Map<string, Stream[]>();
    for (const stream of this.#streams) {
      const { organizationId, tokenId, secretVersion } = stream.caller;
      if (!organizations.includes("*") && !organizations.includes(toUuid(organizationId))) continue;
      const key = `${tokenId} ${secretVersion}`;
      const list = bySecret.get(key);
      if (list === undefined) bySecret.set(key, [stream]);
      else list.push(stream);
    }
    for (const streams of bySecret.values()) {
      const [{ caller }] = streams as [Stream];
      try {
        const now = await this.#callerNow(caller);
        for (const stream of streams) if (now === undefined || !reads(stream, now)) stream.end();
      } catch {
        // the database is away: the next look decides
      }
    }
  }

  /** Undefined when the token, its secret, the session or the membership has ended. */
  async #callerNow(caller: Caller): Promise<Caller | undefined> {
    try {
      return await this.#authenticator.refresh(caller);
    } catch (error) {
      if (error instanceof CallboardError && error.code === "unauthenticated") return undefined;
      throw error;
    }
  }
}

function reads(stream: Stream, now: Caller): boolean {
  try {
    stream.mayRead(now);
    return true;
  } catch (error) {
    if (error instanceof CallboardError) return false;
    throw error;
  }
}
