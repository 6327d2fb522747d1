/** The files room: what a caller attaches and what an agent writes, and the bytes of both. */
export { completeBlob, deleteBlob, readBytes, type StoredBytes, storeBytes, sweepBlobs } from "./blobs.ts";
export {
  deleteFile,
  type FileRow,
  findFile,
  findWritten,
  insertFile,
  listFiles,
  lockFiles,
  moveFiles,
  toFile,
} from "./store.ts";
