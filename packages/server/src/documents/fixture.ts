/** For tests: PDFs made by hand, and documents put into a world of the access room. */
import type { CreateDocumentCollection, DocumentAccess } from "@callboard/protocol";
import { type Caller, manageDocuments, scopeOf } from "../access/index.ts";
import type { Database } from "../storage/index.ts";
import { createCollection, setAccess } from "./collections.ts";
import { addDocument, prepareDocument } from "./documents.ts";

export const nobody: DocumentAccess = { organization: false, users: [], groups: [], services: [] };

/** What an admin does, without HTTP. */
export function managing(database: Database, admin: Caller) {
  const grant = manageDocuments(admin);
  const within = <T>(work: Parameters<typeof database.tenant<T>>[1]) => database.tenant(scopeOf(admin), work);
  return {
    create: (slug: string, more: Partial<CreateDocumentCollection> = {}) =>
      within((tx) =>
        createCollection(
          tx,
          grant,
          { slug, name: slug, description: "", language: "english", access: nobody, ...more },
          null,
        ),
      ),
    setAccess: (slug: string, access: DocumentAccess) => within((tx) => setAccess(tx, grant, slug, access, null)),
    add: async (slug: string, name: string, text: string, title?: string) => {
      const prepared = await prepareDocument({ name, mediaType: "text/markdown", bytes: Buffer.from(text) }, title);
      return within((tx) => addDocument(tx, grant, slug, prepared, null));
    },
  };
}

export type PdfOptions = {
  /** Of each content stream, like `/Filter /FlateDecode`. */
  filter?: string;
  /** Added to the trailer. */
  trailer?: string;
};

/** A PDF whose pages have these content streams. Source: ISO 32000-1, 7.5. */
export function makePdf(contents: readonly (string | Uint8Array)[], { filter = "", trailer = "" }: PdfOptions = {}) {
  const kids = contents.map((_, i) => `${4 + i * 2} 0 R`).join(" ");
  const objects: Buffer[] = [
    Buffer.from("<< /Type /Catalog /Pages 2 0 R >>"),
    Buffer.from(`<< /Type /Pages /Kids [${kids}] /Count ${contents.length} >>`),
    Buffer.from("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"),
  ];
  for (const [i, content] of contents.entries()) {
    const page = `/Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >>`;
    objects.push(Buffer.from(`<< ${page} /Contents ${5 + i * 2} 0 R >>`));
    const bytes = Buffer.from(content);
    const head = Buffer.from(`<< /Length ${bytes.length} ${filter} >>\nstream\n`);
    objects.push(Buffer.concat([head, bytes, Buffer.from("\nendstream")]));
  }
  const parts = [Buffer.from("%PDF-1.4\n")];
  const offsets: string[] = [];
  let at = 9;
  for (const [i, object] of objects.entries()) {
    offsets.push(`${String(at).padStart(10, "0")} 00000 n \n`);
    const part = Buffer.concat([Buffer.from(`${i + 1} 0 obj\n`), object, Buffer.from("\nendobj\n")]);
    parts.push(part);
    at += part.length;
  }
  const size = objects.length + 1;
  const table = `xref\n0 ${size}\n0000000000 65535 f \n${offsets.join("")}`;
  parts.push(Buffer.from(`${table}trailer\n<< /Size ${size} /Root 1 0 R ${trailer} >>\nstartxref\n${at}\n%%EOF`));
  return Buffer.concat(parts);
}

/** A content stream that shows these lines. */
export const shown = (...lines: string[]): string =>
  `BT /F1 12 Tf 50 700 Td ${lines.map((line) => `(${line}) Tj 0 -20 Td`).join(" ")} ET`;
