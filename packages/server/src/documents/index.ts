/** The documents room: collections, documents, search. Who may read is decided by the policies of its tables. */
export {
  createCollection,
  findManaged,
  noCollection,
  readAccess,
  readCollections,
  removeCollection,
  seeCollection,
  setAccess,
  updateCollection,
} from "./collections.ts";
export {
  addDocument,
  nameOfManaged,
  noDocument,
  type Prepared,
  prepareDocument,
  readDocuments,
  readWhole,
  removeDocument,
  replaceDocument,
  seeDocument,
} from "./documents.ts";
export { documentsFor } from "./library.ts";
export { search } from "./search.ts";
export { showAll, toCollection, toDocument } from "./store.ts";
export { MAX_DOCUMENT_BYTES, tooLarge, type Upload } from "./text.ts";
