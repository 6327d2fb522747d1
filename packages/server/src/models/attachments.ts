/** Files in a user's message: what can go to a provider as it is, as text, or only by name. */
import type { UserPart } from "./model.ts";

export type FilePart = Extract<UserPart, { type: "file" }>;

const textual = new Set([
  "application/json",
  "application/ld+json",
  "application/javascript",
  "application/sql",
  "application/toml",
  "application/typescript",
  "application/x-ndjson",
  "application/x-sh",
  "application/x-yaml",
  "application/xml",
  "application/yaml",
]);

const images = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export type FileKind = "image" | "pdf" | "text" | "other";

/** How a file can be handed over; `image` means one of the four formats that every provider reads. */
export function fileKind(mediaType: string): FileKind {
  const type = mediaType.toLowerCase();
  if (images.has(type)) return "image";
  if (type === "application/pdf") return "pdf";
  if (type.startsWith("text/") || textual.has(type) || type.endsWith("+json") || type.endsWith("+xml")) return "text";
  return "other";
}

/** A text file with its name around it, so that the model can tell it from the user's own words. */
export function fileAsText(file: FilePart): string {
  const text = Buffer.from(file.bytes.buffer, file.bytes.byteOffset, file.bytes.byteLength).toString("utf8");
  return `File ${JSON.stringify(file.name)} (${file.mediaType}):\n${text}\nEnd of file ${JSON.stringify(file.name)}.`;
}

/** What the model reads instead of a file that it cannot be given. */
export function fileAsNote(file: FilePart): string {
  return `[The file ${JSON.stringify(file.name)} (${file.mediaType}, ${file.bytes.byteLength} bytes) is attached, but this model cannot read files of this kind.]`;
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
