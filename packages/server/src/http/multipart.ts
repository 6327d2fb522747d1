/** Uploads as `multipart/form-data`: one part named `file`, handed over as it comes. Source: RFC 7578. */
import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import type { Readable } from "node:stream";
import { CallboardError, fileName, mediaType } from "@callboard/protocol";
import type busboy from "busboy";
import { invalidRequest } from "../access/index.ts";

/** Read with the first upload. */
const library = (): typeof busboy => createRequire(import.meta.url)("busboy");

type Part = { name: string; mediaType: string };
export type Taker<T> = {
  /** Reads the part to its end. */
  take(stream: Readable, part: Part): Promise<T>;
  /** Called for a part that was taken before the request was refused. */
  undo(taken: T): Promise<unknown>;
};

/** @throws bad_request, invalid_request, and what `take` throws */
export function takePart<T>(incoming: IncomingMessage, maxBytes: number, { take, undo }: Taker<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let taken: Promise<T> | undefined;
    let parser: busboy.Busboy | undefined;
    const refuse = (error: unknown) => {
      reject(error);
      incoming.unpipe();
      incoming.resume();
      parser?.destroy();
      // A file that was whole before the refusal goes too; one that was not removes itself.
      taken?.then(undo).catch(() => undefined);
    };
    try {
      parser = library()({
        headers: incoming.headers,
        defParamCharset: "utf8",
        limits: { files: 1, fields: 1, fieldSize: 1, parts: 3, fileSize: maxBytes + 1, headerPairs: 32 },
      });
    } catch (error) {
      refuse(new CallboardError("bad_request", `the multipart body cannot be read: ${(error as Error).message}`));
      return;
    }
    parser.on("file", (field, stream, info) => {
      // A body that breaks off is an error of the part as well: nobody may be reading it yet, or any more.
      stream.on("error", () => {});
      taken = (async () => {
        if (field !== "file") throw wrongPart(field, "expected one part named file");
        const name = check(fileName, "name", decodeName(info.filename ?? ""));
        const type = check(mediaType, "media_type", info.mimeType || "application/octet-stream");
        return take(stream, { name, mediaType: type });
      })();
      taken.catch(refuse);
    });
    parser.on("field", (field) => refuse(wrongPart(field, "unknown field")));
    parser.on("filesLimit", () => refuse(wrongPart("file", "expected one file")));
    parser.on("error", (error) =>
      refuse(new CallboardError("bad_request", `the multipart body cannot be read: ${(error as Error).message}`)),
    );
    parser.on("close", () => {
      if (taken === undefined) reject(wrongPart("file", "expected one part named file"));
      else taken.then(resolve, reject);
    });
    incoming.on("aborted", () => refuse(new CallboardError("bad_request", "the body broke off")));
    incoming.pipe(parser);
  });
}

/** Browsers escape quotes and line breaks in names this way. Source: HTML standard, multipart/form-data encoding. */
const decodeName = (name: string): string => name.replace(/%22/g, '"').replace(/%0D/gi, "\r").replace(/%0A/gi, "\n");

const wrongPart = (path: string, message: string) => invalidRequest([{ path, message }]);

function check(schema: typeof fileName, path: string, value: string): string {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw wrongPart(path, result.error.issues[0]?.message ?? "is not valid");
}
