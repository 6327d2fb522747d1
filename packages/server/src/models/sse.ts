/**
 * Server-sent events from bytes, as cheap as possible: this runs for every token of every model call.
 *
 * S1  The same bytes give the same events however they are split.
 * S2  Bytes are decoded in whole lines, so a character that is split between two chunks stays whole.
 *
 * Source: "Server-sent events" in the HTML standard, §9.2.6, with three differences. `id` and `retry` are
 * skipped, since a model call is never resumed. A lone CR ends no line; no provider uses it. An event
 * whose lines are complete counts at the end of the body even without the empty line after it, because
 * some servers leave that out.
 */

/** `event` is "" when the server named none. */
export type OnEvent = (data: string, event: string) => void;

const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const D = 100;
const E = 101;
const BYTE_ORDER_MARK = 0xfeff;

export class SseParser {
  readonly #onEvent: OnEvent;
  /** Bytes after the last line break, in the pieces they came in. */
  #rest: Buffer[] = [];
  #data: string | undefined;
  #event = "";
  #started = false;

  constructor(onEvent: OnEvent) {
    this.#onEvent = onEvent;
  }

  /** Takes the next bytes and calls `onEvent` for each event that they complete; throws what it throws. */
  push(chunk: Buffer): void {
    const cut = chunk.lastIndexOf(LF) + 1;
    if (cut === 0) {
      if (chunk.length > 0) this.#rest.push(chunk);
      return;
    }
    if (this.#rest.length === 0) {
      this.#lines(chunk.toString("utf8", 0, cut));
    } else {
      const lines = Buffer.concat([...this.#rest, chunk.subarray(0, cut)]);
      this.#rest = [];
      this.#lines(lines.toString("utf8"));
    }
    if (cut < chunk.length) this.#rest.push(chunk.subarray(cut));
  }

  /** The body has ended; a line without its break is dropped. */
  end(): void {
    this.#rest = [];
    this.#dispatch();
  }

  /** `text` ends with a line break. */
  #lines(text: string): void {
    let at = 0;
    if (!this.#started) {
      this.#started = true;
      if (text.charCodeAt(0) === BYTE_ORDER_MARK) at = 1;
    }
    while (at < text.length) {
      const lineBreak = text.indexOf("\n", at);
      const end = lineBreak > at && text.charCodeAt(lineBreak - 1) === CR ? lineBreak - 1 : lineBreak;
      if (end === at) this.#dispatch();
      else this.#field(text, at, end);
      at = lineBreak + 1;
    }
  }

  #field(text: string, at: number, end: number): void {
    const first = text.charCodeAt(at);
    if (first === D && text.startsWith("data", at)) {
      const value = fieldValue(text, at + 4, end);
      if (value !== undefined) this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    } else if (first === E && text.startsWith("event", at)) {
      this.#event = fieldValue(text, at + 5, end) ?? this.#event;
    }
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event;
    this.#event = "";
    if (data === undefined) return;
    this.#data = undefined;
    this.#onEvent(data, event);
  }
}

/** The value of the field whose name ends at `at`, or undefined when the name goes on. */
function fieldValue(text: string, at: number, end: number): string | undefined {
  if (at === end) return "";
  if (text.charCodeAt(at) !== COLON) return undefined;
  return text.slice(text.charCodeAt(at + 1) === SPACE ? at + 2 : at + 1, end);
}
