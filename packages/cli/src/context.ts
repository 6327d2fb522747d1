/** What a command needs to do its work. */
import { type CallboardClient, createClient } from "@callboard/client";
import type { Command } from "commander";
import { type ConnectionOptions, findBaseUrl, findConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { readSecret, secretOf } from "./secret.ts";
import { createSession } from "./session.ts";

export type Context = {
  client: CallboardClient;
  /** Address of the server. */
  baseUrl: string;
  /** Print JSON, one value per line. */
  json: boolean;
  /** The next secret on standard input, or that of the environment variable which is named. */
  secret(what: string, variable?: string): Promise<string>;
  /** The password of whom `--as` names. */
  password(): Promise<string>;
};

/** Who talks to the server: whom the command line or the environment names, somebody signed in, or nobody. */
export type Asking = "anybody" | "session" | "nobody";

/**
 * The context of a command that talks to a server.
 *
 * @throws UsageError when there is no token, or nobody signs in where a session is asked for
 */
export type ContextOf = (command: Command, asking?: Asking) => Context;

type GlobalOptions = ConnectionOptions & { as?: string; json?: boolean };

/** @param closing takes what is to be done when the command is over, whatever came of it */
export const contextFrom =
  (env: NodeJS.ProcessEnv, closing: (() => Promise<void>)[]): ContextOf =>
  (command, asking = "anybody") => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const { as: email } = options;
    const secret = async (what: string, variable?: string) =>
      variable === undefined ? readSecret(what) : secretOf(env, variable);
    let known: Promise<string> | undefined;
    const password = () => {
      known ??= secret(`password of ${email}`, env.CALLBOARD_PASSWORD ? "CALLBOARD_PASSWORD" : undefined);
      return known;
    };
    const shared = { json: options.json === true, secret, password };
    if (asking === "session" && email === undefined) {
      throw new UsageError("expected --as <email>: this is for a person who signs in, and no token will do");
    }
    if (email === undefined && asking === "anybody") {
      const connection = findConnection(options, env);
      return { ...shared, client: createClient(connection), baseUrl: connection.baseUrl };
    }
    const baseUrl = findBaseUrl(options, env);
    const session = createSession(
      baseUrl,
      email === undefined || asking === "nobody" ? undefined : { email, password },
    );
    closing.push(session.end);
    return { ...shared, client: createClient({ baseUrl, fetch: session.fetch }), baseUrl };
  };
