/**
 * A JSON value that fits a JSON Schema, filled from a text and from facts that tools have found. The same
 * input gives the same value.
 *
 * Understood: `const`, `enum`, `default`, `type` (also as a list), `anyOf`, `oneOf`, `allOf`, local `$ref`,
 * and the keywords of strings, numbers, arrays and objects that a value can be made for.
 */
import type { Json } from "@callboard/protocol";
import { textForPattern } from "./demo-pattern.ts";
import { firstLine, keyWords, mentioned, nameWords, wordsOf } from "./demo-words.ts";

export type Source = {
  /** What the user wrote. */
  text: string;
  /** What tools have found, best first. */
  facts: readonly { key: string; value: string | number }[];
};

type Schema = { [key: string]: unknown };
type Place = { root: Schema; source: Source; name: string; depth: number; index: number };

const MAX_DEPTH = 16;

/** @param name of the property that is filled; "" for the whole value */
export function fillSchema(schema: Schema, source: Source, name = ""): Json {
  return fill(schema, { root: schema, source, name, depth: 0, index: 0 });
}

function fill(given: unknown, place: Place): Json {
  if (place.depth > MAX_DEPTH || typeof given !== "object" || given === null) return null;
  const schema = resolve(given as Schema, place.root);
  const inner = { ...place, depth: place.depth + 1 };

  if ("const" in schema) return schema.const as Json;
  if (Array.isArray(schema.enum)) return pickEnum(schema.enum as Json[], place);
  for (const word of ["anyOf", "oneOf"]) {
    const options = schema[word];
    if (!Array.isArray(options) || options.length === 0) continue;
    const { [word]: _, ...rest } = schema;
    const first = options.find((option) => !isNull(option, place.root)) ?? options[0];
    return fill({ ...rest, ...resolve(first as Schema, place.root) }, inner);
  }
  if (schema.default !== undefined) return schema.default as Json;
  switch (typeOf(schema)) {
    case "string":
      return fillString(schema, place);
    case "number":
    case "integer":
      return fillNumber(schema, place);
    case "boolean":
      return false;
    case "null":
      return null;
    case "array":
      return fillArray(schema, inner);
    case "object":
      return fillObject(schema, inner);
    default:
      return fillString(schema, place);
  }
}

/** Follows `$ref` within the document and folds `allOf` in. */
function resolve(schema: Schema, root: Schema, depth = 0): Schema {
  if (typeof schema !== "object" || schema === null || depth > MAX_DEPTH) return {};
  let result = schema;
  if (typeof schema.$ref === "string") {
    const { $ref, ...rest } = schema;
    result = { ...resolve(lookUp($ref as string, root), root, depth + 1), ...rest };
  }
  if (!Array.isArray(result.allOf)) return result;
  const { allOf, ...rest } = result;
  return [rest, ...(allOf as Schema[]).map((part) => resolve(part, root, depth + 1))].reduce(merge, {});
}

function merge(left: Schema, right: Schema): Schema {
  const merged: Schema = { ...left, ...right };
  if (left.properties && right.properties) merged.properties = { ...left.properties, ...right.properties };
  if (Array.isArray(left.required) && Array.isArray(right.required)) {
    merged.required = [...new Set([...left.required, ...right.required])];
  }
  return merged;
}

function lookUp(ref: string, root: Schema): Schema {
  if (!ref.startsWith("#")) return {};
  let found: unknown = root;
  for (const step of ref.slice(1).split("/").filter(Boolean)) {
    const key = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
    found = (found as Schema | undefined)?.[key];
  }
  return (found ?? {}) as Schema;
}

function typeOf(schema: Schema): unknown {
  const { type } = schema;
  if (Array.isArray(type)) return type.find((one) => one !== "null") ?? "null";
  if (type !== undefined) return type;
  if (schema.properties !== undefined || schema.required !== undefined) return "object";
  if (schema.items !== undefined || schema.prefixItems !== undefined) return "array";
  if (schema.minimum !== undefined || schema.maximum !== undefined) return "number";
  return undefined;
}

function isNull(option: unknown, root: Schema): boolean {
  const { type, const: fixed } = resolve(option as Schema, root);
  return type === "null" || fixed === null;
}

/** The value that the text mentions best, else the first; in an array each place takes another one. */
function pickEnum(values: readonly Json[], { source, index }: Place): Json {
  const score = (value: Json) =>
    typeof value === "string" || typeof value === "number" ? mentioned(`${value}`, source.text) : 0;
  const ordered = values
    .map((value, position) => ({ value, position, score: score(value) }))
    .sort((a, b) => b.score - a.score || a.position - b.position);
  return ordered[index % ordered.length]?.value ?? null;
}

function fillNumber(schema: Schema, { index, source, name }: Place): Json {
  const whole = typeOf(schema) === "integer";
  const step = numberAt(schema, "multipleOf") ?? (whole ? 1 : 0);
  const above = numberAt(schema, "exclusiveMinimum");
  const below = numberAt(schema, "exclusiveMaximum");
  const least = Math.max(
    numberAt(schema, "minimum") ?? -Infinity,
    above === undefined ? -Infinity : above + (step || 0.5),
  );
  const most = Math.min(
    numberAt(schema, "maximum") ?? Infinity,
    below === undefined ? Infinity : below - (step || 0.5),
  );
  const found =
    numberInText(name, source.text) ??
    source.facts.find(({ key, value }) => typeof value === "number" && key === name.toLowerCase())?.value;
  let value = least === -Infinity ? Math.min(1, most) : least;
  if (typeof found === "number" && found >= least && found <= most) value = found;
  if (step > 0) value = Math.ceil(value / step) * step;
  const next = value + index * (step || 1);
  return next <= most ? next : value;
}

function fillArray(schema: Schema, place: Place): Json {
  const least = numberAt(schema, "minItems") ?? 0;
  const most = numberAt(schema, "maxItems") ?? Infinity;
  const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  const count = Math.min(Math.max(least, prefix.length, 1), most, 100);
  return Array.from({ length: count }, (_, index) => fill(prefix[index] ?? schema.items ?? {}, { ...place, index }));
}

function fillObject(schema: Schema, place: Place): Json {
  const properties = (schema.properties ?? {}) as { [key: string]: unknown };
  const names = Array.isArray(schema.required) ? (schema.required as string[]) : Object.keys(properties);
  const extra = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
  return Object.fromEntries(
    names.map((name) => [name, fill(properties[name] ?? extra, { ...place, name, index: place.index })]),
  );
}

const formats: { [format: string]: string } = {
  date: "2026-01-01",
  "date-time": "2026-01-01T00:00:00Z",
  time: "00:00:00Z",
  duration: "P1D",
  email: "demo@example.com",
  hostname: "example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.com/",
  "uri-reference": "/demo",
  uuid: "00000000-0000-4000-8000-000000000000",
};

const inText: { [format: string]: RegExp } = {
  date: /\b\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b/,
  email: /\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\b/,
  uri: /\bhttps?:\/\/[\w.-]{1,200}(?:\/[\w./-]{0,200})?/,
  uuid: /\b[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b/i,
};

function fillString(schema: Schema, place: Place): string {
  const { format, pattern } = schema;
  const { text } = place.source;
  if (typeof format === "string" && formats[format] !== undefined) {
    return inText[format]?.exec(text)?.[0] ?? formats[format];
  }
  if (typeof pattern === "string") {
    const fitting = textForPattern(pattern);
    return fromText(pattern, place.source) ?? fitting ?? fitLength(plainString(place), schema);
  }
  return fitLength(place.index === 0 ? plainString(place) : `${plainString(place)} ${place.index + 1}`, schema);
}

/** A word or fact that fits. Long words are left out: an unlucky pattern takes exponential time on them. */
function fromText(pattern: string, { text, facts }: Source): string | undefined {
  let fits: RegExp;
  try {
    fits = new RegExp(pattern, "u");
  } catch {
    return undefined;
  }
  const words = text.match(/[\p{L}\p{N}][\p{L}\p{N}\-_.]*[\p{L}\p{N}]|[\p{L}\p{N}]/gu) ?? [];
  return [...words.slice(0, 100), ...facts.slice(0, 100).map(({ value }) => `${value}`)].find(
    (word) => word.length <= 20 && fits.test(word),
  );
}

/** By the property's name: an id, key words, a title, or the user's own words. */
function plainString({ name, source }: Place): string {
  const words = nameWords(name);
  const last = words.at(-1) ?? "";
  const has = (...some: string[]) => some.some((word) => words.includes(word));
  const fact = source.facts.find(({ key }) => key === name.toLowerCase());
  if (has("q", "query", "search", "term", "terms", "keyword", "keywords")) return keyWords(source.text);
  if (["id", "key", "slug", "number", "reference", "code"].includes(last)) {
    const said = idInText(source.text);
    // What tools found as `document_id` is one; what looks like an id in the text may be something else's.
    const isOther = words.length > 1 && fact !== undefined && !source.facts.some(({ value }) => value === said);
    if (said !== undefined && !isOther) return said;
    return `${(fact ?? source.facts.find(({ key }) => key === "id"))?.value ?? "1"}`;
  }
  if (fact !== undefined) return `${fact.value}`;
  if (has("text", "message", "question", "prompt", "content", "body", "input")) return source.text.trim() || "demo";
  if (has("title", "subject", "name", "label", "heading", "topic")) return firstLine(source.text, 60) || "demo";
  return firstLine(source.text, 200) || "demo";
}

/** What stands behind the name in the text: `amount_cents 12000`, `amount cents: 12000`. */
function numberInText(name: string, text: string): number | undefined {
  const words = nameWords(name).filter((word) => /^[a-z]+$/.test(word));
  if (words.length === 0) return undefined;
  const found = new RegExp(`\\b${words.join("[ _-]?")}[ :=]{1,3}(\\d{1,15}(?:\\.\\d{1,6})?)\\b`, "i").exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** `T-1004`, `order_77` or a plain number. */
function idInText(text: string): string | undefined {
  const words = wordsOf(text);
  const found =
    words.find((word) => /\p{N}/u.test(word) && /[-_]/.test(word)) ?? words.find((word) => /^\p{N}+$/u.test(word));
  if (found === undefined) return undefined;
  const at = text.toLowerCase().indexOf(found);
  return text.slice(at, at + found.length);
}

function fitLength(text: string, schema: Schema): string {
  const least = Math.min(numberAt(schema, "minLength") ?? 0, 10_000);
  const most = numberAt(schema, "maxLength") ?? Infinity;
  // Lengths count characters, not UTF-16 units.
  const characters = [...text];
  if (characters.length > most) return characters.slice(0, most).join("");
  return characters.length >= least ? text : text + ".".repeat(least - characters.length);
}

function numberAt(schema: Schema, key: string): number | undefined {
  const value = schema[key];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
