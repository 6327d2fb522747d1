/** What an operator decides for the tools of a project: `callboard.config.ts`. */
import type { ToolEffect } from "./tool.ts";

/**
 * A host that `http_get` and `http_request` may reach: `api.example.com`, `*.example.com` (all below it),
 * `api.example.com:8443`, all over https; or with its scheme, `http://intranet.example:8080`.
 */
export type HttpAllowance =
  | string
  | {
      host: string;
      /** Default: all of them. */
      methods?: Array<"GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE">;
      /** Sent with each request to this host and never shown to the model: the place for a key. */
      headers?: Record<string, string>;
    };

/** What the operator says about one tool of an MCP server. */
export type McpToolPolicy = {
  /** What repeating a call would do. Default `once`: what the server says about itself is not believed. */
  effect?: ToolEffect;
  /** The least approval; an agent may ask for more. Default `never`. */
  approval?: "never" | "always";
  sensitive?: boolean;
  /** What the public event log shows. Default: neither. */
  public?: { input?: boolean; output?: boolean };
};

type McpServerCommon = {
  /** The tools that are taken, by the server's own names. Default: all of them, with the default policy. */
  tools?: Record<string, McpToolPolicy>;
  /** Milliseconds one call may take. Default 60,000. */
  timeoutMs?: number;
};

export type McpServerConfig =
  | (McpServerCommon & {
      /** Where the server speaks streamable HTTP. */
      url: string;
      /** Sent with each request: the place for a key. */
      headers?: Record<string, string>;
      /**
       * Each call carries a signed `Callboard-Assertion` that says for whom it is made: user, email, groups,
       * organization, run. Default false: the server learns nothing of callers.
       */
      identity?: boolean;
    })
  | (McpServerCommon & {
      /** A program that speaks MCP on standard input and output. It runs with the server's rights. */
      command: string;
      args?: string[];
      /** Beside PATH, HOME and the like, all that the program sees of the environment. */
      env?: Record<string, string>;
      cwd?: string;
    });

export type WorkspaceConfig = {
  /** Milliseconds one command may take. Default 30,000. */
  timeoutMs?: number;
  /** Mebibytes of files that one command may hold. Default 64. */
  maxFilesMb?: number;
  /** Commands at once in one process; others wait. Default 2. */
  concurrency?: number;
};

export type ConfigDefinition = {
  /** Without it the tools `http_get` and `http_request` are not there. */
  http?: { allow: HttpAllowance[] };
  /** By the name that their tools' names begin with: `crm` gives `crm__search`. */
  mcpServers?: Record<string, McpServerConfig>;
  /** `false` takes the tool `workspace_run` away. */
  workspace?: WorkspaceConfig | false;
};

export type ConfigFile = { readonly kind: "config"; readonly definition: ConfigDefinition };

/**
 * The default export of `callboard.config.ts` in the project's folder. It is checked when the server starts;
 * secrets in it come from the environment: `process.env.CRM_TOKEN`.
 */
export function defineConfig(definition: ConfigDefinition): ConfigFile {
  return { kind: "config", definition };
}
