/** JSON that a command is given: as an argument, from a file or from standard input. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { UsageError } from "./errors.ts";

/** The value in a file, or on standard input for `-`. @throws UsageError when it cannot be read or is no JSON */
export async function readJsonFile(path: string): Promise<unknown> {
  return parseJson(path === "-" ? await text(process.stdin) : await readText(path), path);
}

/** The value that is written in an argument, or on standard input for `-`. @throws UsageError when it is no JSON */
export async function readJsonArgument(argument: string): Promise<unknown> {
  return argument === "-" ? readJsonFile("-") : parseJson(argument, argument.slice(0, 80));
}

function parseJson(source: string, found: string): unknown {
  try {
    return JSON.parse(source);
  } catch (error) {
    const where = found === "-" ? "standard input" : found;
    throw new UsageError(`expected JSON; found ${where} (${(error as Error).message})`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`expected a file with JSON: ${(error as Error).message}`);
  }
}
