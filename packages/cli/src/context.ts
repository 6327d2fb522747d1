/** What a command needs to do its work. */
import { type CallboardClient, createClient } from "@callboard/client";
import type { Command } from "commander";
import { type ConnectionOptions, findBaseUrl, findConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { readSecret, secretOf } from "./secret.ts";
import { createSession, type Session } from "./session.ts";

export type Context = {
  client: CallboardClient;
  /** Address of the server. */
  baseUrl: string;
  /** Print JSON, one value per line. */
  json: boolean;
  /** The next secret on standard input, or that of the environment variable which is named. */
  secret(what: string, variable?: string): Promise<string>;
  /** The password of whom `--as` names; empty without. */
  password: string;
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

export type Contexts = {
  /** Before the command: signs in whom `--as` names. */
  prepare(command: Command): Promise<void>;
  contextOf: ContextOf;
};

/** @param closing takes what is to be done when the command is over, whatever came of it */
export function createContexts(env: NodeJS.ProcessEnv, closing: (() => Promise<void>)[]): Contexts {
  const secret = async (what: string, variable?: string) =>
    variable === undefined ? readSecret(what) : secretOf(env, variable);
  let signedIn: { session: Session; password: string } | undefined;

  function open(baseUrl: string): Session {
    const session = createSession(baseUrl);
    closing.push(session.end);
    return session;
  }

  return {
    async prepare(command) {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (options.as === undefined) return;
      const session = open(findBaseUrl(options, env));
      const variable = env.CALLBOARD_PASSWORD ? "CALLBOARD_PASSWORD" : undefined;
      const password = await secret(`the password of ${options.as}`, variable);
      await session.signIn(options.as, password);
      signedIn = { session, password };
    },

    contextOf(command, asking = "anybody") {
      const options = command.optsWithGlobals<GlobalOptions>();
      const shared = { json: options.json === true, secret, password: signedIn?.password ?? "" };
      if (asking === "session" && signedIn === undefined) {
        throw new UsageError("expected --as <email>: this is for a person who signs in, and no token will do");
      }
      if (signedIn === undefined && asking === "anybody") {
        const connection = findConnection(options, env);
        return { ...shared, client: createClient(connection), baseUrl: connection.baseUrl };
      }
      const baseUrl = findBaseUrl(options, env);
      const { fetch } = signedIn?.session ?? open(baseUrl);
      return { ...shared, client: createClient({ baseUrl, fetch }), baseUrl };
    },
  };
}
