import { UsageError } from "./errors.ts";

/**
 * `NAME=text`, or `NAME:=json` for a number or boolean.
 *
 * @throws UsageError
 */
export function parseVariables(texts: readonly string[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, colon, value = ""] = /^([A-Z][A-Z0-9_]*)(:?)=(.*)$/s.exec(text) ?? [];
      if (name === undefined) throw new UsageError(`expected --var NAME=text or NAME:=json; found ${text}`);
      return [name, colon === "" ? value : parseValue(text, value)];
    }),
  );
}

/** `name=value`. @throws UsageError */
export function parseMetadata(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at < 1) throw new UsageError(`expected --metadata name=value; found ${text}`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

function parseValue(text: string, json: string): string | number | boolean {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  } catch {
    // falls through to the message below
  }
  throw new UsageError(`expected JSON text, a number, true or false after := ; found ${text}`);
}
