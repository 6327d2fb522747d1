/**
 * Bytes, in chunks, in PostgreSQL: written as they come in, read as they go out, never whole in memory.
 *
 * A blob is `complete` in the transaction that writes its file, so a file without its bytes, or bytes that
 * a crash left without a file, cannot be seen; the latter are removed an hour later.
 */
import { createHash, randomUUID } from "node:crypto";
import { CallboardError } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";

const CHUNK_BYTES = 256 * 1024;

const create = statement("files.create_blob", "insert into blobs (organization_id, id) values ($1, $2)");
const addChunk = statement(
  "files.add_chunk",
  "insert into blob_chunks (organization_id, blob_id, position, bytes) values ($1, $2, $3, $4)",
);
const complete = statement(
  "files.complete_blob",
  "update blobs set complete = true where organization_id = $1 and id = $2 and not complete",
);
const chunk = statement(
  "files.chunk",
  "select bytes from blob_chunks where organization_id = $1 and blob_id = $2 and position = $3",
);
const remove = statement("files.delete_blob", "delete from blobs where organization_id = $1 and id = $2");
const sweep = statement(
  "files.sweep_blobs",
  "delete from blobs where not complete and created_at < now() - interval '1 hour'",
);

export type StoredBytes = { blob: string; sizeBytes: number; sha256: string };

/**
 * Stores bytes as they come.
 *
 * @throws file_too_large, with what was stored already removed
 */
export async function storeBytes(
  sql: Sql,
  organization: string,
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<StoredBytes> {
  const blob = randomUUID();
  const hash = createHash("sha256");
  let sizeBytes = 0;
  let position = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  await sql.run(create, [organization, blob]);
  const flush = async () => {
    if (heldBytes === 0) return;
    const bytes = Buffer.concat(held);
    held = [];
    heldBytes = 0;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      await sql.run(addChunk, [organization, blob, position++, bytes.subarray(at, at + CHUNK_BYTES)]);
    }
  };
  try {
    for await (const bytes of source) {
      sizeBytes += bytes.length;
      if (sizeBytes > maxBytes) {
        throw new CallboardError("file_too_large", `the file is larger than ${maxBytes} bytes`, {
          max_bytes: maxBytes,
        });
      }
      hash.update(bytes);
      held.push(bytes);
      heldBytes += bytes.length;
      // Whole chunks only, so that reading can stream them as they are stored.
      if (heldBytes >= CHUNK_BYTES) {
        const all = Buffer.concat(held);
        const whole = all.length - (all.length % CHUNK_BYTES);
        held = [all.subarray(0, whole)];
        heldBytes = whole;
        const rest = all.subarray(whole);
        await flush();
        held = rest.length > 0 ? [Buffer.from(rest)] : [];
        heldBytes = rest.length;
      }
    }
    await flush();
  } catch (error) {
    await sql.run(remove, [organization, blob]).catch(() => undefined); // else the sweep removes it
    throw error;
  }
  return { blob, sizeBytes, sha256: hash.digest("hex") };
}

/** Makes a blob permanent, in the transaction that writes its file. */
export async function completeBlob(sql: Sql, organization: string, blob: string): Promise<void> {
  if ((await sql.run(complete, [organization, blob])) !== 1) {
    throw new CallboardError("unavailable", "the upload took too long and was removed");
  }
}

/** The bytes of a blob, chunk by chunk. */
export async function* readBytes(sql: Sql, organization: string, blob: string): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; position++) {
    const row = await sql.row<{ bytes: Uint8Array }>(chunk, [organization, blob, position]);
    if (row === undefined) return;
    yield row.bytes;
  }
}

export async function deleteBlob(sql: Sql, organization: string, blob: string): Promise<void> {
  await sql.run(remove, [organization, blob]);
}

/** Removes what uploads that never ended have left. @returns how many */
export const sweepBlobs = (sql: Sql): Promise<number> => sql.run(sweep);
