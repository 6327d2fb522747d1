/**
 * The text of a PDF. A PDF may be made to harm who reads it, so it is read in a thread that is ended when it takes too
 * long or too much memory, and its pages and characters are counted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { CallboardError } from "@callboard/protocol";

export type PdfTask = { bytes: Uint8Array; maxPages: number; maxChars: number };
export type PdfOutcome = { pages: string[] } | { refused: string };

export type PdfLimits = { pages: number; chars: number; timeMs: number; memoryBytes: number };
export const pdfLimits: PdfLimits = { pages: 1000, chars: 4_000_000, timeMs: 30_000, memoryBytes: 160 * 1024 * 1024 };

/** Threads at once; others wait. */
const MAX_THREADS = 2;
const LOOK_MS = 50;
let threads = 0;
const waiting: Array<() => void> = [];

/**
 * The text of each page.
 *
 * @throws document_unreadable with the reason
 */
export async function readPdf(bytes: Uint8Array, limits: PdfLimits = pdfLimits): Promise<string[]> {
  if (threads >= MAX_THREADS) await new Promise<void>((resolve) => waiting.push(resolve));
  else threads++;
  try {
    const outcome = await inThread(bytes, limits);
    if ("refused" in outcome) throw unreadable(outcome.refused);
    return outcome.pages;
  } finally {
    const next = waiting.shift();
    if (next === undefined) threads--;
    else next();
  }
}

async function inThread(bytes: Uint8Array, limits: PdfLimits): Promise<PdfOutcome> {
  const task: PdfTask = { bytes: new Uint8Array(bytes), maxPages: limits.pages, maxChars: limits.chars };
  const worker = new Worker(new URL("./pdf-worker.ts", import.meta.url), {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: limits.memoryBytes / 1024 / 1024, maxYoungGenerationSizeMb: 32 },
    // What the library says of broken files is nobody's business.
    stdout: true,
    stderr: true,
  });
  const done = new AbortController();
  try {
    return await Promise.race([
      new Promise<PdfOutcome>((resolve) => {
        worker.once("message", resolve);
        // Out of its heap, as a rule.
        worker.once("error", () => resolve({ refused: "it takes too much memory, or is damaged" }));
        worker.once("exit", () => resolve({ refused: "it cannot be read" }));
      }),
      watch(worker, limits, done.signal),
    ]);
  } finally {
    done.abort();
    await worker.terminate();
  }
}

/** What its heap's limit does not see: what streams are unpacked into lies beside the heap. */
async function watch(worker: Worker, { timeMs, memoryBytes }: PdfLimits, signal: AbortSignal): Promise<PdfOutcome> {
  const end = performance.now() + timeMs;
  for (;;) {
    await sleep(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return { refused: "it was read" };
    if (performance.now() > end) return { refused: `reading it takes longer than ${timeMs} ms` };
    // While the thread is starting or ending it cannot say.
    const heap = await worker.getHeapStatistics().catch(() => undefined);
    if (heap !== undefined && heap.external_memory > memoryBytes) return { refused: "it takes too much memory" };
  }
}

export const unreadable = (reason: string) =>
  new CallboardError("document_unreadable", `no text could be taken from the document: ${reason}`);
