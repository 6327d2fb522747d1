/**
 * Text on its way into the log in pieces: the first at once, then about every 40 ms or 512 characters.
 * While one piece is being written the next one grows, so a slow database makes larger pieces, not more.
 */
import type { MessageId } from "@callboard/protocol";
import type { Wheel } from "./wheel.ts";

/** How often pieces are written, in milliseconds. */
export const DELTA_MS = 40;
const DELTA_CHARS = 512;

/** Writes one piece. Never rejects. */
export type DeltaWriter = (messageId: MessageId, text: string) => Promise<void>;

export class Deltas {
  readonly #messageId: MessageId;
  readonly #write: DeltaWriter;
  readonly #wheel: Wheel;
  readonly #flush = () => this.#send();
  #buffer = "";
  #begun = false;
  #writing = false;
  #closed = false;

  constructor(messageId: MessageId, wheel: Wheel, write: DeltaWriter) {
    this.#messageId = messageId;
    this.#wheel = wheel;
    this.#write = write;
  }

  /** Something was shown: the message has begun for whoever follows. */
  get begun(): boolean {
    return this.#begun;
  }

  push(text: string): void {
    if (text === "" || this.#closed) return;
    const first = this.#buffer === "";
    this.#buffer += text;
    if (!this.#begun) {
      this.#begun = true;
      // What the model sent in one piece stays in one piece.
      setImmediate(this.#flush);
    } else if (this.#buffer.length >= DELTA_CHARS) this.#send();
    else if (first) this.#wheel.add(this.#flush);
  }

  /** The rest, for the caller to write together with the final message; nothing is written after this. */
  close(): string {
    this.#closed = true;
    this.#wheel.remove(this.#flush);
    const rest = this.#buffer;
    this.#buffer = "";
    return rest;
  }

  #send(): void {
    if (this.#closed || this.#writing || this.#buffer === "") return;
    const text = this.#buffer;
    this.#buffer = "";
    this.#writing = true;
    this.#write(this.#messageId, text).then(() => {
      this.#writing = false;
      if (this.#buffer.length >= DELTA_CHARS) this.#send();
      else if (this.#buffer !== "") this.#wheel.add(this.#flush);
    });
  }
}
