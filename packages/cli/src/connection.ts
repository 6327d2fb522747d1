/** Which server, and as whom. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "./errors.ts";

export type Connection = { baseUrl: string; token: string };
export type ConnectionOptions = { baseUrl?: string; token?: string };

const LOCAL = "http://127.0.0.1:4100";

/**
 * Flags win over the environment, which wins over the credentials file that a first local start writes.
 * The file's token is for the file's server alone: it is not sent to an address named otherwise.
 *
 * @throws UsageError when there is no token for the server
 */
export function findConnection(options: ConnectionOptions, env: NodeJS.ProcessEnv): Connection {
  const baseUrl = options.baseUrl ?? nonEmpty(env.CALLBOARD_URL);
  const token = options.token ?? nonEmpty(env.CALLBOARD_TOKEN);
  if (baseUrl !== undefined && !/^https?:\/\//.test(baseUrl)) {
    throw new UsageError(`expected an address like ${LOCAL}; found ${baseUrl}`);
  }
  if (baseUrl !== undefined && token !== undefined) return { baseUrl, token };

  const path = join(nonEmpty(env.CALLBOARD_DATA_DIR) ?? ".callboard", "credentials.json");
  const saved = readCredentials(path);
  if (token !== undefined) return { baseUrl: saved?.baseUrl ?? LOCAL, token };
  if (saved === undefined) {
    throw new UsageError(`no token: give --token or CALLBOARD_TOKEN, or start a local server that writes ${path}`);
  }
  if (baseUrl !== undefined && trim(baseUrl) !== trim(saved.baseUrl)) {
    throw new UsageError(`no token for ${baseUrl}: give --token or CALLBOARD_TOKEN (${path} is for ${saved.baseUrl})`);
  }
  return saved;
}

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
  throw new UsageError(`${path} does not hold base_url and token; remove it or give --base-url and --token`);
}

const nonEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const trim = (url: string): string => url.replace(/\/+$/, "");
