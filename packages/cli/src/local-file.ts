/** Files on this machine, to and from uploads and downloads. */
import { openAsBlob } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import type { Upload } from "@callboard/client";
import { UsageError } from "./errors.ts";

/** Types that agents can make use of; anything else is sent as `application/octet-stream`. */
const mediaTypes: Record<string, string> = {
  ".csv": "text/csv",
  ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  ".gif": "image/gif",
  ".htm": "text/html",
  ".html": "text/html",
  ".jpeg": "image/jpeg",
  ".jpg": "image/jpeg",
  ".json": "application/json",
  ".md": "text/markdown",
  ".pdf": "application/pdf",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
  ".webp": "image/webp",
  ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  ".xml": "application/xml",
  ".yaml": "application/yaml",
  ".yml": "application/yaml",
};

/** The file, read from disk as it is sent. @throws UsageError when there is no such file */
export async function toUpload(path: string, mediaType?: string): Promise<Upload> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile())
    throw new UsageError(`expected a file; found ${found ? "something else" : "nothing"} at ${path}`);
  return {
    name: basename(path),
    content: await openAsBlob(path),
    mediaType: mediaType ?? mediaTypes[extname(path).toLowerCase()] ?? "application/octet-stream",
  };
}

/**
 * Writes a stream to a file that does not exist yet; a stream that breaks off leaves no file behind.
 *
 * @throws UsageError when there is a file already
 */
export async function saveTo(path: string, bytes: ReadableStream<Uint8Array>): Promise<void> {
  const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
    throw error.code === "EEXIST" ? new UsageError(`${path} exists already; give another --output`) : error;
  });
  try {
    await file.writeFile(bytes);
    await file.close();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}
