/** Asking a person at the terminal. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { InterruptedError } from "./errors.ts";
import { plain } from "./output.ts";

/**
 * The line that a person types; empty after Ctrl-D.
 *
 * @param shown whether it is seen while it is typed
 * @throws InterruptedError after Ctrl-C
 */
export async function ask(prompt: string, shown: boolean): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  if (!shown) process.stderr.write(plain(prompt));
  const terminal = createInterface({ input: process.stdin, output: shown ? process.stderr : silent, terminal: true });
  try {
    return await terminal.question(shown ? plain(prompt) : "");
  } catch (error) {
    // Node rejects with one error for both keys, and tells them apart in its message alone.
    if (error instanceof Error && error.message.includes("Ctrl+D")) return "";
    if (shown) process.stderr.write("\n");
    throw new InterruptedError();
  } finally {
    terminal.close();
    if (!shown) process.stderr.write("\n");
  }
}
