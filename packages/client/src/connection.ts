/** One connection to an event stream, from its opening to its end. */
import { orAbort } from "./abort.ts";
import { unexpectedAnswer } from "./answer.ts";
import { CallboardApiError, CallboardConnectionError } from "./errors.ts";
import { createSseParser, type SseItem } from "./sse.ts";

export type ConnectionOptions = {
  /** Opens the stream; must honour the signal. */
  open: (signal: AbortSignal) => Promise<Response>;
  signal?: AbortSignal | undefined;
  /** Longest silence, in milliseconds; a heartbeat comment counts as a sign of life. */
  silenceMs: number;
};

/**
 * Yields what each piece of the stream completed, an empty list for a heartbeat; ends when the server ends
 * the stream. Leaving the loop closes the connection. The clock of the watchdog stands still while the
 * reader is busy with what it got.
 *
 * @throws CallboardConnectionError when the connection broke or went silent; what `open` throws
 */
export async function* readConnection(options: ConnectionOptions): AsyncGenerator<SseItem[], void, undefined> {
  const { signal, silenceMs } = options;
  const connection = new AbortController();
  const stop = () => connection.abort(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();

  async function watched<T>(work: Promise<T>): Promise<T> {
    const silence = new CallboardConnectionError(`the stream was silent for ${silenceMs} ms`);
    const timer = setTimeout(() => connection.abort(silence), silenceMs);
    try {
      return await orAbort(work, connection.signal);
    } catch (error) {
      if (error instanceof CallboardApiError || error instanceof CallboardConnectionError) throw error;
      throw new CallboardConnectionError("the stream broke off", { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  try {
    const response = await watched(options.open(connection.signal));
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw unexpectedAnswer(response, "text/event-stream");
    }
    const reader = response.body.getReader();
    const parser = createSseParser();
    for (;;) {
      const piece = await watched(reader.read());
      if (piece.done) return;
      yield parser.push(piece.value);
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    connection.abort();
  }
}
