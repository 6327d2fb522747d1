/** Which server, and as whom. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "./errors.ts";

export type Connection = { baseUrl: string; token: string };
export type ConnectionOptions = { baseUrl?: string; tokenFile?: string };

const LOCAL = "http://127.0.0.1:4100";

/**
 * Options win over the environment, which wins over the credentials file that a first local start writes.
 * The credentials file's token is for that file's server alone: it is not sent to an address named otherwise.
 *
 * @throws UsageError when there is no token for the server
 */
export function findConnection(options: ConnectionOptions, env: NodeJS.ProcessEnv): Connection {
  const baseUrl = givenBaseUrl(options, env);
  const token = options.tokenFile === undefined ? nonEmpty(env.CALLBOARD_TOKEN) : readToken(options.tokenFile);
  if (token !== undefined) checkToken(token);
  if (baseUrl !== undefined && token !== undefined) return { baseUrl, token };

  const path = credentialsPath(env);
  const saved = readCredentials(path);
  if (token !== undefined) return { baseUrl: saved?.baseUrl ?? LOCAL, token };
  if (saved === undefined) {
    throw new UsageError(
      `no token: set CALLBOARD_TOKEN, give --token-file, sign in with --as <email>, or start a local server that writes ${path}`,
    );
  }
  if (baseUrl !== undefined && trim(baseUrl) !== trim(saved.baseUrl)) {
    throw new UsageError(
      `no token for ${baseUrl}: set CALLBOARD_TOKEN or give --token-file (${path} is for ${saved.baseUrl})`,
    );
  }
  return saved;
}

/** The server alone, for somebody who comes without a token. @throws UsageError */
export const findBaseUrl = (options: ConnectionOptions, env: NodeJS.ProcessEnv): string =>
  givenBaseUrl(options, env) ?? readCredentials(credentialsPath(env))?.baseUrl ?? LOCAL;

function givenBaseUrl(options: ConnectionOptions, env: NodeJS.ProcessEnv): string | undefined {
  const baseUrl = options.baseUrl ?? nonEmpty(env.CALLBOARD_URL);
  if (baseUrl !== undefined && !(/^https?:\/\//.test(baseUrl) && URL.canParse(baseUrl))) {
    throw new UsageError(`expected an address like ${LOCAL}; found ${baseUrl}`);
  }
  return baseUrl?.replace(/\/api\/v1\/*$/, ""); // as the API's own address is written elsewhere
}

/** A token in an argument could be read by everybody on the machine, and would stay in the shell's history. */
function readToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--token-file cannot be read: ${(error as Error).message}`);
  }
  const [line = ""] = text.split(/\r?\n/);
  if (line.trim() === "") throw new UsageError(`expected a token on the first line of ${path}`);
  return line.trim();
}

/** What cannot be in a header would fail far from here, with the whole token in the message. */
function checkToken(token: string): void {
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError("the token holds a space, a line break or another character that no token has");
  }
}

const credentialsPath = (env: NodeJS.ProcessEnv): string =>
  join(nonEmpty(env.CALLBOARD_DATA_DIR) ?? ".callboard", "credentials.json");

function readCredentials(path: string): Connection | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { base_url: baseUrl, token } = JSON.parse(text) as Record<string, unknown>;
    if (typeof baseUrl === "string" && typeof token === "string") return { baseUrl, token };
  } catch {
    // falls through to the message below
  }
  throw new UsageError(`${path} does not hold base_url and token; remove it or set CALLBOARD_URL and CALLBOARD_TOKEN`);
}

const nonEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const trim = (url: string): string => url.replace(/\/+$/, "");
