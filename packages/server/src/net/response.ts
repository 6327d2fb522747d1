/** A node:http answer as a Response whose body is decompressed, counted, and read no faster than asked. */
import { pipeline, type Readable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Exchange } from "./exchange.ts";
import { GuardedFetchError } from "./failure.ts";

type Facts = { url: URL; redirected: boolean; method: string };

/**
 * @param maxBytes of the body after decompression; more make the body fail with `too_large`
 * @throws GuardedFetchError when the status is not one a Response can have
 */
export function toResponse(exchange: Exchange, facts: Facts, maxBytes: number): Response {
  const { message } = exchange;
  const status = message.statusCode ?? 0;
  if (status < 200 || status > 599) {
    message.destroy();
    throw new GuardedFetchError("cut", `${facts.url.host} answered with status ${status}`);
  }
  const headers = new Headers();
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    headers.append(message.rawHeaders[i] as string, message.rawHeaders[i + 1] as string);
  }
  const empty = facts.method === "HEAD" || status === 204 || status === 205 || status === 304;
  if (empty) message.resume();
  const body = empty ? null : countedBody(decompress(exchange, headers), exchange, facts.url.host, maxBytes);
  const response = new Response(body, { status, statusText: message.statusMessage ?? "", headers });
  Object.defineProperties(response, {
    url: { value: facts.url.href },
    redirected: { value: facts.redirected },
  });
  return response;
}

/** The plain bytes. An unknown encoding is left as it is, with its header. */
function decompress({ message }: Exchange, headers: Headers): Readable {
  const make = decoders[headers.get("content-encoding")?.trim().toLowerCase() ?? ""];
  if (make === undefined) return message;
  headers.delete("content-encoding");
  headers.delete("content-length");
  // Errors reach the reader through the decoder's own events.
  return pipeline(message, make(), () => {});
}

const decoders: { [encoding: string]: (() => NodeJS.ReadWriteStream & Readable) | undefined } = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
};

function countedBody(source: Readable, exchange: Exchange, host: string, maxBytes: number) {
  let size = 0;
  let done = false;
  const close = () => {
    done = true;
    exchange.message.destroy();
    source.destroy();
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const fail = (error: unknown) => {
        if (done) return;
        close();
        controller.error(error);
      };
      const cut = (cause?: unknown) =>
        fail(
          exchange.stopped === undefined
            ? new GuardedFetchError("cut", `${host} broke off its answer`, { cause })
            : exchange.stopped.error,
        );
      source.on("data", (chunk: Buffer) => {
        if (done) return;
        exchange.touch();
        size += chunk.length;
        if (size > maxBytes) {
          return fail(new GuardedFetchError("too_large", `${host} sent more than ${maxBytes} bytes`));
        }
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) source.pause();
      });
      source.on("end", () => {
        if (done) return;
        done = true;
        controller.close();
      });
      source.on("error", cut);
      source.on("close", () => cut());
    },
    pull() {
      source.resume();
    },
    cancel: close,
  });
}
