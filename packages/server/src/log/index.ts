/** Structured logs, one JSON line each, without secrets. */
import { type LoggerOptions, pino, stdTimeFunctions } from "pino";

export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Logger;
}

/** Whatever has such a name is not printed, wherever it is. */
const SECRET_NAMES = [
  "authorization",
  "cookie",
  "token",
  "secret",
  "api_key",
  "apiKey",
  "password",
  "connectionString",
];

/** Tokens of ours, keys of the usual providers, and passwords in addresses, inside any text. */
const SECRET_TEXT =
  /\b(?:cb[ps]_[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|Bearer\s+\S+)|(?<=:\/\/[^\s:/@]*:)[^\s@/]+(?=@)/g;

const redactText = (text: string): string => text.replace(SECRET_TEXT, "[redacted]");

/** An error for the log: name, message, code, stack, causes; secrets taken out. */
export function errorFacts(error: unknown): object {
  if (!(error instanceof Error)) return { message: redactText(String(error)) };
  const { code } = error as { code?: unknown };
  return {
    name: error.name,
    message: redactText(error.message),
    ...(typeof code === "string" ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: errorFacts(error.cause) }),
  };
}

const isFacts = (error: unknown): boolean => typeof error === "object" && error !== null && !(error instanceof Error);

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
    redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[redacted]" },
    // What is facts already stays as it is.
    serializers: { error: (error: unknown) => (isFacts(error) ? error : errorFacts(error)) },
  };
  return write === undefined ? pino(options) : pino(options, { write });
}
