/** From what was uploaded to text: by media type, bounded, cleaned of what neither people nor the database can use. */
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
  return { mediaType, text: requireText(clean(decode(bytes))), pages: null };
}

/** UTF-8, or what a byte order mark says. Anything else would be a guess. */
function decode(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const isLittle = first === 0xff && second === 0xfe;
  const encoding = isLittle ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw unreadable("it is not UTF-8, and not UTF-16 with a byte order mark");
  }
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

/** Of a Markdown page the title in its front matter or its first heading; else the name without its ending. */
export function titleOf(name: string, { mediaType, text }: DocumentText): string {
  const said = mediaType === "text/markdown" ? markdownTitle(text.slice(0, 4000)) : undefined;
  return (said ?? name.replace(/\.[^.]+$/, "")).slice(0, 300).toWellFormed() || name;
}

function markdownTitle(text: string): string | undefined {
  const [matter = ""] = /^---\n.*?\n(?:---|\.\.\.)\n/s.exec(text) ?? [];
  const [, titled = ""] = /^title:[ \t]*(.*?)[ \t]*$/m.exec(matter) ?? [];
  const [, quoted] = /^(?:"(.*)"|'(.*)')$/.exec(titled)?.filter((part) => part !== undefined) ?? [];
  const title = (quoted ?? titled).trim();
  // A value that goes on over lines, refers or nests is not read.
  if (title !== "" && !/^[|>&*!{[#]/.test(title)) return title;
  // A line of a program may look like a heading.
  const page = text.slice(matter.length).replace(/^(```|~~~).*?(?:\n\1|$(?![\s\S]))/gms, "");
  return /^#{1,3}[ \t]+(.+?)[ \t]*#*$/m.exec(page)?.[1];
}
