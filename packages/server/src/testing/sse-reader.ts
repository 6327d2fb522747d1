/** Reads server-sent events for tests, frame by frame. Source: HTML standard, "Interpreting an event stream". */

export type SseFrame = { id: string; event: string; data: string };

export class SseReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #abort: () => void;
  readonly #decoder = new TextDecoder();
  readonly #frames: SseFrame[] = [];
  #rest = "";

  constructor(body: ReadableStream<Uint8Array>, abort: () => void) {
    this.#chunks = body[Symbol.asyncIterator]();
    this.#abort = abort;
  }

  /** The next event, or undefined when the server ended the stream. */
  async next(): Promise<SseFrame | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#take(this.#decoder.decode(value, { stream: true }));
    }
  }

  /** Events up to and with the first that fits. @throws when the stream ends before */
  async until(fits: (frame: SseFrame) => boolean): Promise<SseFrame[]> {
    const read: SseFrame[] = [];
    for (;;) {
      const frame = await this.next();
      if (frame === undefined) {
        throw new Error(`the stream ended after ${read.map(({ event }) => event).join(", ") || "nothing"}`);
      }
      read.push(frame);
      if (fits(frame)) return read;
    }
  }

  /** The next `count` events. */
  async take(count: number): Promise<SseFrame[]> {
    const read: SseFrame[] = [];
    while (read.length < count) read.push(...(await this.until(() => true)));
    return read;
  }

  close(): void {
    this.#abort();
  }

  #take(text: string): void {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() as string;
    for (const block of blocks) {
      const frame: SseFrame = { id: "", event: "message", data: "" };
      let hasData = false;
      for (const line of block.split("\n")) {
        const [, field, value] = /^([a-z]+): ?(.*)$/s.exec(line) ?? [];
        if (field === "id") frame.id = value as string;
        else if (field === "event") frame.event = value as string;
        else if (field === "data") {
          frame.data = hasData ? `${frame.data}\n${value}` : (value as string);
          hasData = true;
        }
      }
      if (hasData) this.#frames.push(frame);
    }
  }
}
