/**
 * A file as a `multipart/form-data` body with one part named `file`.
 *
 * Written by hand rather than with FormData, because a retry must send the same bytes (FormData makes a new
 * boundary each time) and because FormData cannot hold a stream.
 * Source: RFC 7578; escapes in the name: HTML standard, "multipart/form-data encoding algorithm".
 */
import { orAbort } from "./abort.ts";
import type { RawBody } from "./transport.ts";

export type Upload = {
  /** File name without a path. */
  name: string;
  /**
   * The bytes. A Blob (in Node: `fs.openAsBlob`) is read from its source as it is sent. A stream is sent as
   * it comes in Node and cannot be repeated, so such an upload is not retried; browsers cannot send
   * streams to every server, so there it is collected first.
   */
  content: Blob | Uint8Array | ReadableStream<Uint8Array>;
  /** Default: the Blob's own type, else `application/octet-stream`. */
  mediaType?: string | undefined;
};

/** @param signal ends the collecting of a stream, where that is needed */
export async function toMultipart(upload: Upload, signal?: AbortSignal): Promise<RawBody> {
  const boundary = `callboard-${Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("")}`;
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${escapeName(upload.name)}"\r\nContent-Type: ${mediaTypeOf(upload)}\r\n\r\n`;
  const tail = `\r\n--${boundary}--\r\n`;
  const contentType = `multipart/form-data; boundary=${boundary}`;
  const { content } = upload;
  if (content instanceof ReadableStream && canSendStreams()) return { body: around(head, content, tail), contentType };
  const part = content instanceof ReadableStream ? await collected(content, signal) : content;
  // A Blob copies the bytes, so memory shared between threads is fine here although the DOM types refuse it.
  return { body: new Blob([head, part as BlobPart, tail]), contentType };
}

function collected(content: ReadableStream<Uint8Array>, signal: AbortSignal | undefined): Promise<Blob> {
  const whole = new Response(content).blob();
  return signal === undefined ? whole : orAbort(whole, signal);
}

function around(head: string, content: ReadableStream<Uint8Array>, tail: string): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return content.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      start: (out) => out.enqueue(encoder.encode(head)),
      flush: (out) => out.enqueue(encoder.encode(tail)),
    }),
  );
}

const canSendStreams = (): boolean =>
  typeof (globalThis as { process?: { versions?: unknown } }).process?.versions === "object";

const escapeName = (name: string): string =>
  name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");

/** Without parameters: the API takes `text/plain`, a browser's Blob says `text/plain;charset=utf-8`. */
function mediaTypeOf({ mediaType, content }: Upload): string {
  const given = mediaType ?? (content instanceof Blob ? content.type : "");
  return given.split(";")[0]?.trim() || "application/octet-stream";
}
