/**
 * JSON values as TypeScript source. The same value gives the same text, and the text is the value again
 * whatever is in it: quotes, back-ticks, `${`, line separators, lone surrogates, `__proto__`.
 */

/** Characters of a list or an object that is written on one line. */
const WIDTH = 90;

// Control and format characters (those that turn the direction of text among them), line separators, and what
// is half of a pair. As escapes they are seen, and no editor changes them.
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
function escaped(character: string): string {
  if (character === "\t") return "\\t";
  if (character === "\r") return "\\r";
  return `\\u{${(character.codePointAt(0) as number).toString(16)}}`;
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** @param indent what the lines after the first one begin with */
export function literal(value: unknown, indent = ""): string {
  if (typeof value === "string") return text(value);
  if (value === null || typeof value !== "object") return number(value);
  const items = Array.isArray(value)
    ? value.map((item) => (deeper: string) => literal(item, deeper))
    : entriesOf(value).map(
        ([key, item]) =>
          (deeper: string) =>
            `${name(key)}: ${literal(item, deeper)}`,
      );
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (items.length === 0) return `${open}${close}`;
  const inner = items.map((item) => item("")).join(", ");
  const line = open === "[" ? `[${inner}]` : `{ ${inner} }`;
  if (line.length + indent.length <= WIDTH && !line.includes("\n")) return line;
  const deeper = `${indent}  `;
  return `${open}\n${items.map((item) => `${deeper}${item(deeper)},\n`).join("")}${indent}${close}`;
}

/** The text in double quotes, or as a template where it has lines. */
function text(value: string): string {
  if (value.includes("\n")) {
    return `\`${value.replace(/\\|`|\$(?=\{)/g, "\\$&").replace(HIDDEN, escaped)}\``;
  }
  return quoted(value);
}

/** The text in double quotes, on one line. */
export const quoted = (value: string): string =>
  `"${value.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replace(HIDDEN, escaped)}"`;

/** A property's name in an object; as a computed one, `__proto__` is a name like any other. */
function name(key: string): string {
  if (key === "__proto__") return '["__proto__"]';
  return propertyName(key);
}

/** A property's name in a type, or in an object that has no `__proto__`. */
export const propertyName = (key: string): string => (IDENTIFIER.test(key) ? key : quoted(key));

const number = (value: unknown): string => (Object.is(value, -0) ? "-0" : String(value));

const entriesOf = (value: object): [string, unknown][] =>
  Object.entries(value).filter(([, item]) => item !== undefined);

/** The text as a comment above what follows; nothing for an empty text. */
export function comment(value: string | undefined, indent = ""): string {
  const lines = (value ?? "")
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map((line) => line.replace(HIDDEN, "").replaceAll("*/", "*\\/").trimEnd());
  if (lines.every((line) => line === "")) return "";
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join("\n")}\n${indent} */\n`;
}
