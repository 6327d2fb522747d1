/**
 * HTTP/1.1 answers from bytes, for calls that wait in their thousands: node:http's parser and request
 * objects take about 22 KiB for each, this takes a few hundred bytes.
 *
 * P1  Strict: what does not follow the grammar is an error, never a guess. Where two readings of a
 *     message's length are possible, the connection is not used again.
 * P2  The body is handed over in slices of what arrived; nothing of it is kept.
 *
 * Source: RFC 9112 §2–§7 (message syntax, `Transfer-Encoding`, `Content-Length`) and RFC 9110 §15.2 (1xx).
 */

export type Head = {
  status: number;
  /** By name in lower case; repeated fields are joined with ", ". */
  header(name: string): string | undefined;
};

export interface ResponseSink {
  onHead(head: Head): void;
  onBody(slice: Buffer): void;
}

/** The other side does not speak HTTP/1.1. */
export class HttpSyntaxError extends Error {
  constructor(what: string) {
    super(`the answer is not valid HTTP/1.1: ${what}`);
    this.name = "HttpSyntaxError";
  }
}

const CR = 13;
const LF = 10;
const MAX_HEAD_BYTES = 65_536;
const MAX_LINE_BYTES = 4096;
const HEAD_END = Buffer.from("\r\n\r\n");

type State = "head" | "length" | "size" | "chunk" | "chunk-end" | "trailer" | "until-close" | "done";

/** One answer to a POST. */
export class ResponseParser {
  readonly #sink: ResponseSink;
  #state: State = "head";
  /** The head, or the line of a chunk's size or a trailer, as far as it has come. */
  #held: Buffer | undefined;
  /** Bytes to go in the body or in the chunk. */
  #left = 0;
  #trailerBytes = 0;
  /** Whether the connection may carry another message after this one. */
  keepAlive = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /** Whether any byte of the answer has come. */
  get begun(): boolean {
    return this.#state !== "head" || this.#held !== undefined;
  }

  /** @throws HttpSyntaxError, and what the sink throws */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case "head":
          at = this.#head(chunk, at);
          break;
        case "length":
        case "chunk": {
          const end = Math.min(chunk.length, at + this.#left);
          this.#left -= end - at;
          const slice = chunk.subarray(at, end);
          at = end;
          if (this.#left === 0) this.#state = this.#state === "length" ? "done" : "chunk-end";
          this.#sink.onBody(slice);
          break;
        }
        case "until-close":
          this.#sink.onBody(at === 0 ? chunk : chunk.subarray(at));
          at = chunk.length;
          break;
        case "size":
        case "chunk-end":
        case "trailer":
          at = this.#line(chunk, at);
          break;
        case "done":
          // Bytes that nobody asked for.
          this.keepAlive = false;
          return;
      }
    }
  }

  /** The connection has ended: says whether that ended the answer too. */
  close(): boolean {
    if (this.#state === "until-close") this.#state = "done";
    return this.done;
  }

  #head(chunk: Buffer, at: number): number {
    const before = this.#held?.length ?? 0;
    const all = this.#held === undefined ? chunk.subarray(at) : Buffer.concat([this.#held, chunk.subarray(at)]);
    const end = all.indexOf(HEAD_END, Math.max(0, before - 3));
    if (end === -1 || end > MAX_HEAD_BYTES) {
      if (all.length > MAX_HEAD_BYTES) throw new HttpSyntaxError("the head is too long");
      this.#held = all;
      return chunk.length;
    }
    this.#held = undefined;
    const head = parseHead(all.toString("latin1", 0, end));
    // 1xx comes before the answer; 101 would be an answer to an upgrade that nobody asked for.
    if (head.status === 101) throw new HttpSyntaxError("status 101");
    if (head.status >= 200) this.#frame(head);
    return at + end + HEAD_END.length - before;
  }

  /** Decides how the body ends. */
  #frame(head: ParsedHead): void {
    const coding = head.header("transfer-encoding")?.toLowerCase();
    const length = head.header("content-length");
    const connection = head.header("connection")?.toLowerCase() ?? "";
    this.keepAlive = head.minor === 1 && !connection.split(",").some((option) => option.trim() === "close");

    if (head.status === 204 || head.status === 304) {
      this.#state = "done";
    } else if (coding !== undefined) {
      if (coding !== "chunked") throw new HttpSyntaxError("an unknown transfer coding");
      if (length !== undefined) this.keepAlive = false;
      this.#state = "size";
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new HttpSyntaxError("a wrong content length");
      this.#left = Number(length);
      this.#state = this.#left === 0 ? "done" : "length";
    } else {
      this.keepAlive = false;
      this.#state = "until-close";
    }
    this.#sink.onHead(head);
  }

  /** A line of the chunked coding. */
  #line(chunk: Buffer, at: number): number {
    const lf = chunk.indexOf(LF, at);
    const end = lf === -1 ? chunk.length : lf + 1;
    let line = chunk.subarray(at, end);
    if (this.#held !== undefined) line = Buffer.concat([this.#held, line]);
    if (line.length > MAX_LINE_BYTES) throw new HttpSyntaxError("a line is too long");
    if (lf === -1) {
      this.#held = line;
      return end;
    }
    this.#held = undefined;
    if (line.length < 2 || line[line.length - 2] !== CR) throw new HttpSyntaxError("a line without its end");
    const length = line.length - 2;

    if (this.#state === "size") {
      this.#left = chunkSize(line, length);
      this.#state = this.#left === 0 ? "trailer" : "chunk";
    } else if (this.#state === "chunk-end") {
      if (length !== 0) throw new HttpSyntaxError("a chunk is longer than its size");
      this.#state = "size";
    } else if (length === 0) {
      this.#state = "done";
    } else {
      this.#trailerBytes += length;
      if (this.#trailerBytes > MAX_HEAD_BYTES) throw new HttpSyntaxError("the trailer is too long");
    }
    return end;
  }
}

/** Hexadecimal digits, then perhaps `;` and extensions, which mean nothing here. */
function chunkSize(line: Buffer, length: number): number {
  let size = 0;
  let at = 0;
  for (; at < length; at++) {
    const digit = hexDigit(line[at] as number);
    if (digit === -1) break;
    size = size * 16 + digit;
  }
  const next = at < length ? line[at] : undefined;
  // 8 digits are 4 GiB; a space before the extension is tolerated as RFC 9112 §7.1.1 asks.
  if (at === 0 || at > 8 || (next !== undefined && next !== 0x3b && next !== 0x20 && next !== 0x09)) {
    throw new HttpSyntaxError("a wrong chunk size");
  }
  return size;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

type ParsedHead = Head & { minor: number };

function parseHead(text: string): ParsedHead {
  const lines = text.split("\r\n");
  const status = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/.exec(lines[0] ?? "");
  if (status === null) throw new HttpSyntaxError("a wrong status line");
  const fields = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    const colon = line.indexOf(":");
    // Folded lines, names with spaces, bare CR, LF and NUL are how messages are smuggled.
    if (colon < 1 || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(line.slice(0, colon)) || hasControl(line)) {
      throw new HttpSyntaxError("a wrong header line");
    }
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const earlier = fields.get(name);
    if (earlier === undefined) fields.set(name, value);
    // The same length twice is one length; two different ones fail as a number.
    else if (name !== "content-length" || earlier !== value) fields.set(name, `${earlier}, ${value}`);
  }
  return { status: Number(status[2]), minor: Number(status[1]), header: (name) => fields.get(name) };
}

function hasControl(line: string): boolean {
  return line.includes("\0") || line.includes("\r") || line.includes("\n");
}
