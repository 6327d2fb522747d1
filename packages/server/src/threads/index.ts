/** The threads room: a lasting conversation, its place in lists, its row that everything locks first. */
export { ThreadDirectory } from "./directory.ts";
export {
  deleteThread,
  findThread,
  type HeldThread,
  holdThread,
  insertThread,
  listThreads,
  lockChildThreads,
  lockThread,
  putThread,
  type ThreadFilter,
} from "./store.ts";
export {
  type ThreadRow,
  threadLinks,
  toFacts,
  toThread,
} from "./thread.ts";
