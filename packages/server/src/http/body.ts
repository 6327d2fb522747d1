/** Bodies: read with a bound, parsed, and checked for what the database cannot hold. */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { CallboardError } from "@callboard/protocol";
import { requireStorable } from "../access/index.ts";
import { isDeepJson, MAX_JSON_DEPTH } from "../storage/index.ts";

/** Bytes of a JSON body. */
export const MAX_JSON_BYTES = 4 * 1024 * 1024;

/** Whether a content type is JSON, like `application/json; charset=utf-8` or `application/merge-patch+json`. */
export const isJson = (type: string): boolean => /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type);

/**
 * Reads a whole body.
 *
 * @throws unsupported_media_type for a compressed one; body_too_large, before more than `maxBytes` are held
 */
export function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const coding = incoming.headers["content-encoding"] ?? "identity";
  if (coding.toLowerCase() !== "identity") {
    return Promise.reject(
      new CallboardError("unsupported_media_type", `content-encoding is ${coding}; expected a body as it is`),
    );
  }
  const declared = Number(incoming.headers["content-length"] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let ended = false;
    incoming.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        incoming.pause();
        incoming.removeAllListeners("data");
        reject(tooLarge(maxBytes));
      } else chunks.push(chunk);
    });
    incoming.on("end", () => {
      ended = true;
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    const brokenOff = (cause?: unknown) => {
      if (!ended) reject(new CallboardError("bad_request", "the body broke off", {}, { cause }));
    };
    // The client may have left before anybody listened; then no event tells of it any more.
    if (incoming.destroyed) brokenOff();
    incoming.on("error", brokenOff); // a connection that was cut
    incoming.on("close", () => brokenOff());
  });
}

const tooLarge = (maxBytes: number) =>
  new CallboardError("body_too_large", `the body is larger than ${maxBytes} bytes`, { max_bytes: maxBytes });

/**
 * JSON text → value.
 *
 * @throws bad_json for what is no JSON or nested too deep; invalid_request with the path of a string the database cannot hold
 */
export function parseJson(bytes: Buffer): unknown {
  // Decoding would put replacement characters where the wrong bytes are, and nobody would notice.
  if (!isUtf8(bytes)) throw new CallboardError("bad_json", "the body is not JSON: its text is not UTF-8");
  const text = bytes.toString("utf8");
  if (isDeepJson(text)) {
    throw new CallboardError("bad_json", `the body is nested deeper than ${MAX_JSON_DEPTH} levels`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CallboardError("bad_json", `the body is not JSON: ${(error as Error).message}`);
  }
  // Escapes are the only way into JSON for U+0000 and lone surrogates, and hide the name of a field.
  if (text.includes("\\u") || text.includes("__proto__")) requireStorable(value);
  return value;
}
