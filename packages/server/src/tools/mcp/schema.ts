/**
 * Schemas that a foreign server wrote, of what its tools are given and of what they answer.
 *
 * J1  Size and depth are bounded before anything is compiled; nothing outside the schema is looked up.
 * J2  Compiling and checking have a time, and are stopped from outside when it is over: a few lines of schema
 *     can ask for more steps than there is time in the world.
 * J3  Patterns are not run, because a regular expression cannot be stopped reliably. The server checks its own.
 */
import { Script } from "node:vm";
import type { JsonSchema, SchemaIssue, StandardSchema } from "@callboard/kit";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Lru } from "../../access/index.ts";

const MAX_BYTES = 32 * 1024;
const MAX_DEPTH = 24;
const COMPILE_MS = 2000;
/** Usual checks take microseconds. */
const CHECK_MS = 500;
/** Checks that may take too long before a schema is not tried any more. */
const MAX_SLOW = 3;
const MAX_ISSUES = 8;

/** `slow` counts the checks that took too long. */
type Compiled = { readonly validate: ValidateFunction; slow: number };

/** By the schema's text: servers list the same tools again and again, and a slow one stays known for it. */
const compiled = new Lru<string, Compiled>(1000);

export type ForeignSchema = { shown: JsonSchema; schema: StandardSchema };

/** What a schema is of, and what is said of values that cannot be checked with it. */
const kinds = { input: "the arguments", output: "the answer" } as const;
type Kind = keyof typeof kinds;

/**
 * A schema that models can be shown and values be checked with. Arguments are an object; an answer may be anything.
 *
 * @throws an error that says why it cannot be used
 */
export function foreignSchema(given: unknown, kind: Kind = "input"): ForeignSchema {
  try {
    return readSchema(given, kind);
  } catch (error) {
    throw new Error(`its ${kind} schema ${(error as Error).message}`);
  }
}

function readSchema(given: unknown, kind: Kind): ForeignSchema {
  const text = JSON.stringify(given);
  if (text === undefined || text.length > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`);
  const copied = copy(JSON.parse(text), 0) as JsonSchema;
  if (typeof copied !== "object" || copied === null || Array.isArray(copied)) throw new Error("is no object");
  const { $schema, $id: _, ...shown } = copied;
  if (kind === "input" && shown.type !== "object") throw new Error("is not of an object");
  const key = `${$schema} ${JSON.stringify(shown)}`;
  let found = compiled.get(key);
  if (found === undefined) {
    const validate = compile(shown, typeof $schema === "string" && /draft-0[4-7]/.test($schema) ? "old" : "new");
    found = { validate, slow: 0 };
    compiled.set(key, found);
  }
  return { shown, schema: toStandard(found, kinds[kind]) };
}

const refused = new Set(["__proto__", "$id", "$async", "$anchor", "$dynamicAnchor", "$recursiveAnchor"]);

/** Checks depth and names, and cleans what models read. */
function copy(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new Error(`is deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  const made: JsonSchema = {};
  for (const [key, item] of Object.entries(value)) {
    if (refused.has(key) && !(key === "$id" && depth === 0)) throw new Error(`has ${key}`);
    made[key] =
      (key === "description" || key === "title") && typeof item === "string" ? readable(item) : copy(item, depth + 1);
  }
  return made;
}

/** Without control characters and the invisible ones in which text can be hidden from people. */
export function readable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, (character) => (/[\n\t]/.test(character) ? character : ""));
}

const anything = Object.assign(() => ({ test: () => true }), { code: "({ test: () => true })" });

const options = {
  strict: false,
  allErrors: false,
  logger: false,
  validateFormats: false,
  code: { regExp: anything as never },
} as const;
const makers = { old: () => new Ajv(options), new: () => new Ajv2020(options) };
const instances: { [kind in keyof typeof makers]?: Ajv } = {};

/** Schemas without names of their own may share an instance, whose own schemas are compiled once. */
function instance(kind: keyof typeof makers): Ajv {
  let ajv = instances[kind];
  if (ajv === undefined) {
    ajv = makers[kind]();
    ajv.compile({ type: "object" });
    instances[kind] = ajv;
  }
  return ajv;
}

function compile(schema: JsonSchema, kind: keyof typeof makers): ValidateFunction {
  const ajv = instance(kind);
  try {
    return within(COMPILE_MS, () => ajv.compile(schema));
  } catch (error) {
    delete instances[kind]; // it may have been stopped in the middle of something
    if (error instanceof TooSlow) throw new Error("takes too long to compile");
    throw new Error(`cannot be used: ${readable((error as Error).message).slice(0, 200)}`);
  } finally {
    ajv.removeSchema(schema);
  }
}

function toStandard(known: Compiled, what: string): StandardSchema {
  const { validate } = known;
  return {
    "~standard": {
      version: 1,
      vendor: "mcp",
      validate: (value) => {
        if (known.slow >= MAX_SLOW) throw new Error(`${what} cannot be checked`);
        try {
          if (withinOwn(CHECK_MS, () => validate(value))) return { value };
        } catch (error) {
          if (!(error instanceof TooSlow)) throw error;
          known.slow++;
          throw new Error(`checking ${what} takes too long`);
        }
        return { issues: (validate.errors ?? []).slice(0, MAX_ISSUES).map(toIssue) };
      },
    },
  };
}

function toIssue({ instancePath, message, params }: ErrorObject): SchemaIssue {
  const more = params.additionalProperty ?? params.allowedValues;
  return {
    message: `${message ?? "does not fit"}${more === undefined ? "" : ` (${JSON.stringify(more).slice(0, 200)})`}`,
    path: instancePath.split("/").slice(1),
  };
}

class TooSlow extends Error {}

const slot = Symbol.for("callboard.within");
const script = new Script("globalThis[Symbol.for('callboard.within')]()");
const place = globalThis as { [slot]?: () => unknown };

/** Runs synchronous work and stops it from outside when its time is over. @throws TooSlow, or what the work throws */
function within<T>(timeoutMs: number, work: () => T): T {
  place[slot] = work;
  try {
    return script.runInThisContext({ timeout: timeoutMs }) as T;
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new TooSlow();
    throw error;
  } finally {
    delete place[slot];
  }
}

/**
 * The same for work that may be begun again: when the machine gave most of the time to others, it gets twice as much,
 * and twice that. Nobody else is served meanwhile, so that is all.
 */
function withinOwn<T>(timeoutMs: number, work: () => T): T {
  for (let tries = 0; ; tries++) {
    const before = process.threadCpuUsage();
    try {
      return within(timeoutMs * 2 ** tries, work);
    } catch (error) {
      const { user, system } = process.threadCpuUsage(before);
      if (!(error instanceof TooSlow) || tries === 2 || (user + system) / 1000 >= timeoutMs / 2) throw error;
    }
  }
}
