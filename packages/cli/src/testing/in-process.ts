/** Runs the command in this process, which is quicker; what is about processes has `callboard.ts`. */
import { Readable } from "node:stream";
import { vi } from "vitest";
import { main } from "../main.ts";
import type { Outcome } from "./callboard.ts";

/**
 * Runs it to its end. The environment is the given one alone.
 *
 * @param input standard input
 * @param isTTY whether that is a terminal, with a person who types it
 */
export async function inProcess(
  args: readonly string[],
  env: Record<string, string>,
  input = "",
  isTTY = false,
): Promise<Outcome> {
  const out = { stdout: "", stderr: "" };
  const take = (name: "stdout" | "stderr") =>
    vi.spyOn(process[name], "write").mockImplementation((text, ...rest: unknown[]) => {
      out[name] += typeof text === "string" ? text : Buffer.from(text).toString();
      const done = rest.at(-1);
      if (typeof done === "function") done();
      return true;
    });
  const spies = [take("stdout"), take("stderr")];
  const stdin = Object.getOwnPropertyDescriptor(process, "stdin") as PropertyDescriptor;
  Object.defineProperty(process, "stdin", {
    value: Object.assign(Readable.from([input]), { isTTY }),
    configurable: true,
  });
  process.exitCode = undefined;
  try {
    await main(["node", "callboard", ...args], env);
    return { code: Number(process.exitCode ?? 0), ...out };
  } finally {
    process.exitCode = undefined;
    Object.defineProperty(process, "stdin", stdin);
    for (const spy of spies) spy.mockRestore();
  }
}
