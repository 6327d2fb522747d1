/**
 * JSON Schema (2020-12, and what is left of older drafts) as TypeScript types.
 *
 * A type admits every value that the schema admits. What a type cannot say (patterns, ranges, `not`, `if`) makes it
 * wider; what is not understood is `unknown`. Parts that are referred to become types with a name, so that schemas may
 * be recursive.
 */
import { comment, propertyName, quoted } from "./literal.ts";

type Schema = boolean | { readonly [keyword: string]: unknown };
/** How a type may stand beside others: a union or an intersection needs brackets in some places. */
type Type = { text: string; kind: "atom" | "union" | "and" };

/** Deeper than any schema that somebody reads. */
const MAX_DEPTH = 60;

const UNKNOWN: Type = { text: "unknown", kind: "atom" };
const NEVER: Type = { text: "never", kind: "atom" };
const atom = (text: string): Type => ({ text, kind: "atom" });

/** Types with a name that all schemas of one file share. */
export class NamedTypes {
  readonly #taken = new Set<string>();
  readonly #declared: { name: string; text: string }[] = [];

  /** @param taken names that the file has already */
  constructor(taken: Iterable<string> = []) {
    for (const name of taken) this.#taken.add(name);
  }

  /** A name like `TriageTicketInputNode` that nothing else has. */
  reserve(...words: string[]): string {
    const base = words.join("-").replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])?/g, (_, first = "") => first.toUpperCase());
    const wanted = /^[A-Za-z]/.test(base) ? base : `Type${base}`;
    let name = wanted;
    for (let n = 2; this.#taken.has(name); n++) name = `${wanted}${n}`;
    this.#taken.add(name);
    return name;
  }

  declare(name: string, text: string): void {
    this.#declared.push({ name, text });
  }

  /** The declarations, by name. */
  get source(): string {
    const sorted = this.#declared.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return sorted.map(({ name, text }) => `type ${name} = ${text};\n`).join("");
  }
}

/**
 * @param root   the schema; references in it begin there
 * @param prefix what the names of its parts begin with
 * @param indent what the lines after the first one begin with
 * @param shared where references lead that lead nowhere in `root`
 */
export function toTypeScript(
  root: unknown,
  names: NamedTypes,
  prefix: string,
  indent = "",
  shared: unknown = {},
): string {
  return new Converter(root, names, prefix, shared).type(root as Schema, { indent, depth: 0, open: new Set() }).text;
}

/** Where a part stands. `open` are references on the way here with no object or list between: types may not go there. */
type Place = { readonly indent: string; readonly depth: number; readonly open: ReadonlySet<string> };

class Converter {
  readonly #root: unknown;
  readonly #names: NamedTypes;
  readonly #prefix: string;
  readonly #shared: unknown;
  readonly #byRef = new Map<string, string>();

  constructor(root: unknown, names: NamedTypes, prefix: string, shared: unknown) {
    this.#root = root;
    this.#names = names;
    this.#prefix = prefix;
    this.#shared = shared;
  }

  type(schema: Schema | undefined, place: Place): Type {
    if (schema === false) return NEVER;
    if (typeof schema !== "object" || schema === null || place.depth > MAX_DEPTH) return UNKNOWN;
    const parts = [
      this.#own(schema, place),
      ...(typeof schema.$ref === "string" ? [this.#reference(schema.$ref, place)] : []),
      ...schemas(schema.allOf).map((each) => this.type(each, beside(place))),
      ...[schema.anyOf, schema.oneOf].flatMap((list) =>
        Array.isArray(list) ? [union(schemas(list).map((each) => this.type(each, beside(place))))] : [],
      ),
    ];
    return both(parts);
  }

  /** What the schema says by itself, without the ones it is put together from. */
  #own(schema: { readonly [keyword: string]: unknown }, place: Place): Type {
    if ("const" in schema) return exactly(schema.const);
    if (Array.isArray(schema.enum)) return union(schema.enum.map(exactly));
    const types = typeof schema.type === "string" ? [schema.type] : schema.type;
    if (Array.isArray(types)) return union(types.map((type) => this.#ofType(type, schema, place)));
    if (isObject(schema)) return this.#object(schema, place);
    return isList(schema) ? this.#list(schema, place) : UNKNOWN;
  }

  #ofType(type: unknown, schema: { readonly [keyword: string]: unknown }, place: Place): Type {
    switch (type) {
      case "string":
      case "boolean":
      case "null":
        return atom(type);
      case "number":
      case "integer":
        return atom("number");
      case "object":
        return this.#object(schema, place);
      case "array":
        return this.#list(schema, place);
      default:
        return UNKNOWN;
    }
  }

  #object(schema: { readonly [keyword: string]: unknown }, place: Place): Type {
    const properties = record(schema.properties);
    const required = new Set(strings(schema.required));
    const inner = within(place);
    const fields = Object.entries(properties).map(([key, value]) => {
      const { text } = this.type(value as Schema, inner);
      const { description } = record(value);
      const above = comment(typeof description === "string" ? description : undefined, inner.indent);
      return `${above}${inner.indent}${propertyName(key)}${required.has(key) ? "" : "?"}: ${text};\n`;
    });
    for (const key of required) {
      if (!Object.hasOwn(properties, key)) fields.push(`${inner.indent}${propertyName(key)}: unknown;\n`);
    }
    const others = this.#others(schema, inner);
    if (fields.length === 0) return atom(`{ [key: string]: ${others?.text ?? "unknown"} }`);
    // The type of the others would have to admit the named ones too.
    if (others !== undefined && others !== NEVER) fields.push(`${inner.indent}[key: string]: unknown;\n`);
    return atom(`{\n${fields.join("")}${place.indent}}`);
  }

  /** The type of properties without a name of their own; undefined when the schema does not speak of them. */
  #others(schema: { readonly [keyword: string]: unknown }, inner: Place): Type | undefined {
    const patterns = Object.values(record(schema.patternProperties)).map((each) => this.type(each as Schema, inner));
    const { additionalProperties: rest, unevaluatedProperties: left } = schema;
    const said = rest ?? left;
    if (patterns.length > 0) return said === false ? union(patterns) : UNKNOWN;
    return said === undefined ? undefined : this.type(said as Schema, inner);
  }

  #list(schema: { readonly [keyword: string]: unknown }, place: Place): Type {
    const { items, additionalItems, minItems } = schema;
    const inner = within(place);
    const first = schemas(schema.prefixItems ?? (Array.isArray(items) ? items : []));
    const rest = (Array.isArray(items) ? additionalItems : items) as Schema | undefined;
    const other = rest === undefined ? UNKNOWN : this.type(rest, inner);
    if (first.length === 0) return rest === false ? atom("[]") : atom(`${bracketed(other)}[]`);
    const least = typeof minItems === "number" ? minItems : 0;
    const members = first.map((each, i) => {
      const type = this.type(each, inner);
      return i < least ? type.text : `${bracketed(type)}?`;
    });
    if (rest !== false) members.push(`...${bracketed(other)}[]`);
    return atom(`[${members.join(", ")}]`);
  }

  #reference(ref: string, place: Place): Type {
    if (place.open.has(ref)) return UNKNOWN; // it would be itself
    const known = this.#byRef.get(ref);
    if (known !== undefined) return atom(known);
    const target = resolve(this.#root, ref) ?? resolve(this.#shared, ref);
    if (target === undefined) return UNKNOWN;
    const name = this.#names.reserve(this.#prefix, ref === "#" ? "self" : (ref.split("/").at(-1) as string));
    this.#byRef.set(ref, name);
    const { text } = this.type(target, { indent: "", depth: place.depth + 1, open: new Set([...place.open, ref]) });
    this.#names.declare(name, text);
    return atom(name);
  }
}

const beside = (place: Place): Place => ({ ...place, depth: place.depth + 1 });
const within = ({ indent, depth }: Place): Place => ({ indent: `${indent}  `, depth: depth + 1, open: new Set() });

const bracketed = (type: Type): string => (type.kind === "atom" ? type.text : `(${type.text})`);

function union(types: readonly Type[]): Type {
  const texts = [...new Set(types.filter(({ text }) => text !== "never").map(({ text }) => text))];
  if (texts.includes("unknown")) return UNKNOWN;
  if (texts.length === 0) return NEVER;
  const [only] = texts;
  if (texts.length === 1) return types.find(({ text }) => text === only) as Type;
  return { text: texts.join(" | "), kind: "union" };
}

function both(types: readonly Type[]): Type {
  const saying = types.filter(({ text }) => text !== "unknown");
  const [only] = saying;
  if (only === undefined) return UNKNOWN;
  if (saying.length === 1) return only;
  const texts = [...new Set(saying.map((type) => (type.kind === "union" ? `(${type.text})` : type.text)))];
  return { text: texts.join(" & "), kind: "and" };
}

/** The type of one JSON value and no other. */
function exactly(value: unknown): Type {
  if (typeof value === "string") return atom(quoted(value));
  if (Array.isArray(value)) return atom(`[${value.map((item) => exactly(item).text).join(", ")}]`);
  if (typeof value !== "object" || value === null) return atom(String(value));
  const fields = Object.entries(value).map(([key, item]) => `${propertyName(key)}: ${exactly(item).text}`);
  return atom(fields.length === 0 ? "{ [key: string]: never }" : `{ ${fields.join("; ")} }`);
}

const isObject = (schema: object): boolean =>
  ["properties", "required", "additionalProperties", "patternProperties"].some((keyword) => keyword in schema);
const isList = (schema: object): boolean => "items" in schema || "prefixItems" in schema;

const schemas = (value: unknown): Schema[] => (Array.isArray(value) ? (value as Schema[]) : []);
const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
const record = (value: unknown): { [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as { [key: string]: unknown }) : {};

/** What a reference like `#/$defs/Node` leads to (RFC 6901); undefined for nothing, and for other documents. */
function resolve(root: unknown, ref: string): Schema | undefined {
  if (ref === "#") return root as Schema;
  if (!ref.startsWith("#/")) return undefined;
  let at: unknown = root;
  for (const step of ref.slice(2).split("/")) {
    const key = decode(step).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as { [key: string]: unknown })[key];
  }
  return typeof at === "object" || typeof at === "boolean" ? (at as Schema) : undefined;
}

function decode(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
