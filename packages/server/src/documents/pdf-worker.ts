/** In a thread of its own: PDF bytes in, the text of each page out. Whoever started the thread may end it at any time. */
import { parentPort, workerData } from "node:worker_threads";
import { getDocumentProxy } from "unpdf";
import type { PdfOutcome, PdfTask } from "./pdf.ts";

const { bytes, maxPages, maxChars } = workerData as PdfTask;

async function readPages(): Promise<PdfOutcome> {
  // Text needs no pictures, no fonts of this machine and no programs of the document's.
  const options = { useSystemFonts: false, maxImageSize: 0, isEvalSupported: false, verbosity: 0 };
  const pdf = await getDocumentProxy(bytes, options);
  if (pdf.numPages > maxPages) return { refused: `it has ${pdf.numPages} pages; at most ${maxPages} are read` };
  const pages: string[] = [];
  let left = maxChars;
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    let text = "";
    for (const item of items) if ("str" in item) text += item.hasEOL ? `${item.str}\n` : item.str;
    page.cleanup();
    left -= text.length;
    if (left < 0) return { refused: `its text is longer than ${maxChars} characters` };
    pages.push(text);
  }
  return { pages };
}

const said = (error: unknown): PdfOutcome => {
  const name = error instanceof Error ? error.name : "";
  if (name === "PasswordException") return { refused: "it is encrypted; remove the password first" };
  return { refused: "it is not a PDF, or a damaged one" };
};
readPages()
  .catch(said)
  .then((outcome) => parentPort?.postMessage(outcome));
