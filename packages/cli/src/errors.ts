/** What went wrong, as one line and an exit code. */
import { CallboardApiError, CallboardConnectionError } from "@callboard/client";
import { exitCode } from "./exit-code.ts";
import { plain } from "./output.ts";

export { exitCode };

/** The command line asks for something that cannot be; the message says what is expected. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}

/** A person pressed Ctrl-C where something was asked. */
export class InterruptedError extends Error {
  constructor() {
    super("interrupted");
    this.name = "InterruptedError";
  }
}

export type Report = {
  exitCode: number;
  /** Absent where there is nothing to tell. */
  line?: string;
  /** The same for a program. */
  error?: { code: string; message: string; request_id?: string; details?: object };
};

export function toReport(error: unknown): Report {
  if (error instanceof InterruptedError) return { exitCode: exitCode.interrupted };
  const isUsage = error instanceof UsageError;
  const line = isUsage ? error.message : lineOf(error);
  return { line, error: errorOf(error, line), exitCode: isUsage ? exitCode.usage : exitCode.failed };
}

function errorOf(error: unknown, line: string): NonNullable<Report["error"]> {
  if (error instanceof CallboardApiError) {
    const { code, message, requestId, details } = error;
    return { code, message, ...(requestId === undefined ? {} : { request_id: requestId }), details };
  }
  if (error instanceof UsageError) return { code: "usage", message: line };
  if (error instanceof CallboardConnectionError) return { code: "no_answer", message: line };
  const code = (error as { code?: unknown } | undefined)?.code;
  return { code: typeof code === "string" ? code : "internal", message: line };
}

function lineOf(error: unknown): string {
  if (error instanceof CallboardApiError) {
    const request = error.requestId === undefined ? "" : ` (request ${error.requestId})`;
    return oneLine(`${error.code}: ${withFields(error.message, error.details.fields)}${request}`);
  }
  if (error instanceof CallboardConnectionError) return oneLine(`${error.message}: ${reasonOf(deepest(error))}`);
  if (!(error instanceof Error)) return oneLine(String(error));
  // Errors of the system and of our catalogue carry a code and speak for themselves; others are bugs.
  const isKnown = "code" in error && typeof error.code === "string" && !(error instanceof TypeError);
  if (!isKnown) return error.stack ?? error.message;
  return plain(withFields(error.message, (error as { details?: { fields?: Fields } }).details?.fields));
}

/** What the system says of a connection that could not be made, and what that may mean. */
function reasonOf({ code, message }: Error & { code?: string }): string {
  if (code === "ECONNREFUSED") return `${message}; is a server running there?`;
  if (code === "ENOTFOUND") return `${message}; there is no such host`;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return "it does not speak TLS; is its address http:// ?";
  // A list of the Fetch standard: ports of mail, news and the like.
  if (message === "bad port") return "fetch refuses this port, as browsers do; the server has to listen on another one";
  return message;
}

type Fields = readonly { path: string; message: string }[];

/** The message, which tells the first field of several by itself, and the others. */
function withFields(message: string, fields: Fields = []): string {
  const told = message.replace(/ \(and \d+ more\)$/, "");
  const others = fields.map(({ path, message: what }) => `${path}: ${what}`).filter((field) => !told.includes(field));
  return [told, ...others].join("; ");
}

function deepest(error: Error): Error {
  // A host with several addresses fails with an AggregateError whose own message is empty.
  const next = error instanceof AggregateError ? error.errors[0] : error.cause;
  return next instanceof Error ? deepest(next) : error;
}

const oneLine = (text: string): string => plain(text).replace(/\s*[\r\n]+\s*/g, " ");
