/**
 * Events of a thread or a job as server-sent events, written straight to the socket.
 *
 * A reader that is slow is left alone until its socket drains and then reads the log on; one that does not
 * read for half a minute is cut. Nothing is skipped and nothing is held in memory for it.
 */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { type RunId, terminalEventTypes } from "@callboard/protocol";
import type { Caller } from "../access/index.ts";
import { eventFrame, type LoggedEvent } from "../events/index.ts";
import type { MayGoOn, OpenRequests } from "./open.ts";

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

class Stream {
  readonly #outgoing: ServerResponse;
  /** How the last event to be sent names its run; undefined for a stream without an end. */
  readonly #lastRun: string | undefined;
  #follower: ReturnType<Source> | undefined;
  /** When the socket stopped taking bytes; undefined while it takes them. */
  stalledSinceMs: number | undefined;

  constructor(outgoing: ServerResponse, untilRun: RunId | undefined) {
    this.#outgoing = outgoing;
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
  readonly #open: OpenRequests;
  readonly #streams = new Set<Stream>();
  readonly #timer: NodeJS.Timeout;

  constructor(open: OpenRequests) {
    this.#open = open;
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT_MS).unref();
  }

  /** Streams open now. */
  get size(): number {
    return this.#streams.size;
  }

  /** @param untilRun the stream ends after this run's terminal event, which is still to come; undefined for never */
  open(outgoing: ServerResponse, caller: Caller, mayRead: MayGoOn, source: Source, untilRun?: RunId): void {
    const stream = new Stream(outgoing, untilRun);
    this.#streams.add(stream);
    const leave = this.#open.add({ caller, mayGoOn: mayRead, end: () => stream.end() });
    stream.open(source, () => {
      leave();
      this.#streams.delete(stream);
    });
  }

  /** A stream with nothing to come: what it was to end with is behind its reader. */
  openEnded(outgoing: ServerResponse): void {
    outgoing.writeHead(200, HEADERS);
    outgoing.end(`retry: ${RETRY_MS}\n\n`);
  }

  /** Ends all streams; their clients resume elsewhere, or here after the restart. */
  stop(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.end();
  }

  #beat(): void {
    const nowMs = Date.now();
    for (const stream of this.#streams) {
      if (stream.stalledSinceMs !== undefined && nowMs - stream.stalledSinceMs > STALLED_MS) stream.cut();
      else stream.heartbeat();
    }
  }
}
