/** Structured logs, one JSON line each, without secrets. */
import { inspect } from "node:util";
import { type LoggerOptions, type Logger as PinoLogger, pino, stdTimeFunctions } from "pino";

export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Logger;
}

/** What has such a name is not printed, wherever it is: `token`, `api_key`, `X-Api-Key`, `clientSecret`. */
const SECRET_NAME =
  /^(?:proxy-?|x-?)?(?:authorization|cookie|set-?cookie)$|(?:token|secret|password|passphrase)$|api[-_]?key$|^connection[-_]?string$/i;

/** Tokens of ours, keys of the usual providers, passwords in addresses, and `name=value` of a secret name, inside any text. */
const SECRET_TEXT =
  /\b(?:cb[a-z]_[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|(?:Bearer|Basic)\s+\S+)|(?<=:\/\/[^\s:/@]*:)[^\s@/]+(?=@)|(?<=(?:token|secret|password|passphrase|api[-_]?key|cookie|authorization)["']?\s?[=:]\s?["']?)(?!\s)[^\s"',;&}]{4,}/gi;

const HIDDEN = "[redacted]";
/** Facts below this depth are not printed. */
const MAX_DEPTH = 8;

const redactText = (text: string): string => text.replace(SECRET_TEXT, HIDDEN);

/** An error for the log: name, message, code, stack, causes; secrets taken out. */
export function errorFacts(error: unknown): object {
  if (!(error instanceof Error)) return { message: redactText(textOf(error)) };
  const { code } = error as { code?: unknown };
  return {
    name: error.name,
    message: redactText(error.message),
    ...(typeof code === "string" ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: errorFacts(error.cause) }),
  };
}

/** Code of the project may throw anything. */
function textOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return String(thrown);
  try {
    return `no error was thrown but ${inspect(redact(thrown), { depth: 3, breakLength: 200 })}`.slice(0, 2000);
  } catch {
    return "no error was thrown but something that cannot be looked at";
  }
}

/** A copy without secrets, for whatever a room or an author's code logs. */
function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return errorFacts(value);
  if (depth === MAX_DEPTH) return "[deeper]";
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAME.test(name) && typeof item !== "number" && item !== null && item !== undefined
        ? HIDDEN
        : redact(item, depth + 1),
    ]),
  );
}

/**
 * @param level `debug`, `info`, `warn`, `error` or `silent`
 * @param write takes the lines; default: standard output
 */
export function createLogger(level: string, write?: (line: string) => void): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  return guarded(write === undefined ? pino(options) : pino(options, { write }));
}

/** Facts and words pass here and nowhere else on their way out. */
function guarded(logger: PinoLogger): Logger {
  const at = (name: "debug" | "info" | "warn" | "error") => (facts: object, message: string) => {
    if (logger.isLevelEnabled(name)) logger[name](redact(facts) as object, redactText(message));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (facts) => guarded(logger.child(redact(facts) as object)),
  };
}
