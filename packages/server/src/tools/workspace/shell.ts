/**
 * One command in a thread of its own, from its start to its end.
 *
 * S1  A thread serves one command and is ended: nothing of one run is there for the next.
 * S2  Whatever the command does, the thread ends at its time, or at once when the signal says so; it is ended
 *     from outside, so a loop that never yields ends too.
 * S3  A command's place is free again when its thread is gone, not before.
 */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Job, ShellResult, ToServer, ToThread } from "./messages.ts";
import { Slots } from "./slots.ts";

/** Beside this file in the sources and in what is built from them. */
const thread = new URL(`./thread${extname(import.meta.url)}`, import.meta.url);

export type ShellLimits = { timeoutMs: number; maxFilesMb: number; concurrency: number };

/** Mebibytes of the thread's heap; the bytes of files are outside it and counted on their own. */
const HEAP_MB = 256;
const MAX_OUTPUT_CHARS = 30_000;
const MAX_OUT_FILES = 20;

export class Shell {
  readonly #limits: ShellLimits;
  readonly #slots: Slots;

  constructor(limits: ShellLimits) {
    this.#limits = limits;
    this.#slots = new Slots(limits.concurrency);
  }

  /**
   * @param files places that can be read
   * @param read the bytes of one of them; null when they are too many
   * @throws an error whose message a model may read, or the signal's reason
   */
  async run(
    command: string,
    files: readonly string[],
    read: (path: string) => Promise<Uint8Array | null>,
    signal: AbortSignal,
  ): Promise<ShellResult> {
    const release = await this.#slots.take(signal);
    const { timeoutMs, maxFilesMb } = this.#limits;
    const job: Job = {
      command,
      files,
      maxFileBytes: maxFilesMb * 1024 * 1024,
      maxOutputChars: MAX_OUTPUT_CHARS,
      maxOutFiles: MAX_OUT_FILES,
    };
    const worker = new Worker(thread, {
      name: "callboard workspace",
      workerData: job,
      env: {},
      argv: [],
      stdin: false,
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
    });
    worker.once("exit", release);
    const stop = () => void worker.terminate();
    let timer: NodeJS.Timeout | undefined;
    let onAbort = () => {};
    try {
      return await new Promise<ShellResult>((resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        timer = setTimeout(() => reject(new Error(`the command did not end within ${timeoutMs} ms`)), timeoutMs);
        worker.on("error", (error) => reject(toError(error)));
        worker.on("exit", () => reject(new Error("the command ended without a result")));
        worker.on("message", (message: ToServer) => {
          if (message.type === "done") return resolve(message.result);
          void read(message.path)
            .catch(() => null)
            .then((bytes) => worker.postMessage({ type: "content", path: message.path, bytes } satisfies ToThread));
        });
        // The signal may have been aborted while the place was waited for.
        if (signal.aborted) onAbort();
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      stop();
    }
  }
}

function toError(error: unknown): Error {
  const { code } = error as { code?: unknown };
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return new Error("the command used more memory than it may");
  return new Error("the command could not be run", { cause: error });
}
