/** From what was uploaded to text: by media type, bounded, cleaned of what neither people nor the database can use. */
import { isUtf8 } from "node:buffer";
import { CallboardError } from "@callboard/protocol";
import { readPdf, unreadable } from "./pdf.ts";

/** Bytes of an upload. */
export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
/** Characters of a document's text. */
const MAX_CHARS = 4_000_000;

export type Upload = { readonly name: string; readonly mediaType: string | undefined; readonly bytes: Uint8Array };
/** `pages` are the offsets in the text at which a PDF's pages begin; null for what has none. */
export type DocumentText = {
  readonly mediaType: string;
  readonly text: string;
  readonly pages: readonly number[] | null;
};

const PDF = "application/pdf";
const endings: Record<string, string> = {
  txt: "text/plain",
  text: "text/plain",
  md: "text/markdown",
  markdown: "text/markdown",
  pdf: PDF,
};
/** Types that say nothing. */
const vague = new Set(["application/octet-stream", "binary/octet-stream", "text/x-markdown"]);

/** @throws unsupported_media_type */
function typeOf({ name, mediaType }: Upload): string {
  const given = mediaType === undefined || vague.has(mediaType) ? undefined : mediaType.toLowerCase();
  const type = given ?? endings[/\.([^.]+)$/.exec(name.toLowerCase())?.[1] ?? ""];
  if (type !== undefined && Object.values(endings).includes(type)) return type;
  const found = type ?? mediaType ?? "unknown";
  throw new CallboardError(
    "unsupported_media_type",
    `${name} is ${found}; expected text/plain, text/markdown or ${PDF}, or a name that ends in .txt, .md or .pdf`,
  );
}

/**
 * The text of an upload.
 *
 * @throws unsupported_media_type, file_too_large, document_unreadable
 */
export async function readText(upload: Upload): Promise<DocumentText> {
  const mediaType = typeOf(upload);
  const { bytes } = upload;
  if (bytes.length > MAX_DOCUMENT_BYTES) throw tooLarge();
  if (mediaType === PDF) return { mediaType, ...joined((await readPdf(bytes)).map(clean)) };
  if (!isUtf8(bytes)) throw unreadable("it is not UTF-8");
  return { mediaType, text: requireText(clean(Buffer.from(bytes).toString("utf8"))), pages: null };
}

export const tooLarge = () =>
  new CallboardError("file_too_large", `a document has at most ${MAX_DOCUMENT_BYTES} bytes`, {
    max_bytes: MAX_DOCUMENT_BYTES,
  });

function joined(pages: readonly string[]): { text: string; pages: number[] } {
  const starts: number[] = [];
  let text = "";
  for (const page of pages) {
    starts.push(text.length);
    text += `${page.trim()}\n\n`;
  }
  return { text: requireText(text), pages: starts };
}

function requireText(text: string): string {
  if (text.trim() === "") throw unreadable("there is none in it; pictures of text are not read");
  if (text.length > MAX_CHARS) throw unreadable(`it is longer than ${MAX_CHARS} characters`);
  return text;
}

/** Line ends as `\n`, no control characters but that and tabs, no lone surrogates, letters composed. */
function clean(text: string): string {
  return (
    text
      .replace(/^\ufeff/, "")
      .replace(/\r\n?|\f/g, "\n")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what the rule is about
      .replace(/[\u0000-\u0008\u000b\u000e-\u001f\u007f]/g, "")
      .toWellFormed()
      .normalize("NFC")
  );
}

/** The first heading of a Markdown page, or the name without its ending. */
export function titleOf(name: string, { mediaType, text }: DocumentText): string {
  const heading = mediaType === "text/markdown" ? /^#{1,3}\s+(.+?)\s*#*$/m.exec(text.slice(0, 4000))?.[1] : undefined;
  return (heading ?? name.replace(/\.[^.]+$/, "")).slice(0, 300).toWellFormed() || name;
}
