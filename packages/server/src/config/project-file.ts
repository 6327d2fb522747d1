/** `callboard.config.ts`: read once at start, every field checked; secrets in it are never part of a message. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ConfigFile } from "@callboard/kit";
import { z } from "zod";
import { parseAllowedHost } from "../net/index.ts";

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

const host = z.string().transform((text, context) => {
  const found = parseAllowedHost(text);
  if (found !== undefined) return found;
  const message = "expected a host like api.example.com, *.example.com or http://intranet.example:8080";
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});

/** Names and values as HTTP/1.1 takes them. An unset variable makes the text `undefined`, alone or after a scheme. */
const headers = z.record(
  z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "expected the name of a header"),
  z
    .string("expected a text; is the environment variable set?")
    .regex(/^[\t\x20-\x7e\x80-\xff]+$/, "expected a header's value: one line, not empty")
    .refine((value) => !/(^|\s)undefined$/.test(value), "ends in undefined; is the environment variable set?"),
);

const allowance = z.strictObject({
  host,
  methods: z
    .array(z.enum(methods))
    .min(1)
    .default([...methods]),
  headers: headers.default({}),
});
const plainAllowance = host.transform((found) => ({ host: found, methods: [...methods], headers: {} }));

const toolPolicy = z.strictObject({
  effect: z.enum(["read", "idempotent", "once"]).default("once"),
  approval: z.enum(["never", "always"]).default("never"),
  sensitive: z.boolean().default(false),
  public: z.strictObject({ input: z.boolean().default(false), output: z.boolean().default(false) }).prefault({}),
});

const shared = {
  tools: z.record(z.string().min(1).max(128), toolPolicy).optional(),
  timeoutMs: z.int().min(100).max(3_600_000).default(60_000),
};
const remote = z.strictObject({
  ...shared,
  url: z.url({ protocol: /^https?$/, error: "expected an http or https address" }).refine((text) => {
    const { username, password } = new URL(text);
    return username === "" && password === "";
  }, "expected no user's name in the address; send credentials in headers"),
  headers: headers.default({}),
  /** Who calls is nobody's business on the way. */
  identity: z.boolean().default(false),
});
const isPrivateWay = ({ url, identity }: { url: string; identity: boolean }): boolean => {
  const { protocol, hostname } = new URL(url);
  return !identity || protocol === "https:" || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
};
const guarded = remote.refine(isPrivateWay, {
  path: ["identity"],
  message: "expected an https address: who calls is told to this server",
});
const local = z.strictObject({
  ...shared,
  command: z.string().min(1),
  args: z.array(z.string()).default([]),
  env: z.record(z.string(), z.string("expected a text; is the environment variable set?")).default({}),
  cwd: z.string().optional(),
});

/** Told by its `command`, so that problems are told for what was meant. */
const mcpServer = z.unknown().transform((value, context): z.output<typeof remote> | z.output<typeof local> => {
  const isLocal = typeof value === "object" && value !== null && "command" in value;
  const result = isLocal ? local.safeParse(value) : guarded.safeParse(value);
  if (result.success) return result.data;
  for (const { message, path } of problemsOf(result.error)) context.addIssue({ code: "custom", message, path });
  return z.NEVER;
});

const definition = z.strictObject({
  http: z.strictObject({ allow: z.array(z.union([plainAllowance, allowance])) }).default({ allow: [] }),
  mcpServers: z
    .record(
      z
        .string()
        .regex(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/, "expected a name like crm or help_desk")
        .max(24),
      mcpServer,
    )
    .default({}),
  workspace: z
    .union([
      z.literal(false),
      z.strictObject({
        timeoutMs: z.int().min(100).max(600_000).default(30_000),
        maxFilesMb: z.int().min(1).max(1024).default(64),
        concurrency: z.int().min(1).max(64).default(2),
      }),
    ])
    .prefault({}),
});

/** What a project's file says, with all defaults. */
export type ProjectFile = z.output<typeof definition>;
export type HttpRule = ProjectFile["http"]["allow"][number];
export type RemoteMcp = z.output<typeof remote>;
export type LocalMcp = z.output<typeof local>;
export type McpToolRule = z.output<typeof toolPolicy>;
export type WorkspaceLimits = Exclude<ProjectFile["workspace"], false>;

/** What holds without a file. */
export const noProjectFile: ProjectFile = definition.parse({});

/**
 * Reads `callboard.config.ts` of a project.
 *
 * @param folder null for none
 * @param problem is told what is wrong, each with the file and the field
 */
export async function readProjectFile(folder: string | null, problem: (text: string) => void): Promise<ProjectFile> {
  const file = folder === null ? undefined : await findFile(folder);
  if (file === undefined) return noProjectFile;
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: ConfigFile };
    if (module.default?.kind !== "config") throw new Error("the default export must be defineConfig({…})");
    const parsed = definition.safeParse(module.default.definition);
    if (parsed.success) return parsed.data;
    for (const { path, message } of problemsOf(parsed.error)) {
      problem(`${file}: ${path.length === 0 ? "the file" : pathText(path)}: ${message}`);
    }
  } catch (error) {
    problem(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return noProjectFile;
}

async function findFile(folder: string): Promise<string | undefined> {
  for (const ending of ["ts", "js", "mjs"]) {
    const file = join(folder, `callboard.config.${ending}`);
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  return undefined;
}

type Problem = { path: PropertyKey[]; message: string };

/** One problem for each unknown field; of a union, those of the branch that came furthest. */
function problemsOf(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: [...issue.path, key], message: "unknown field" }));
    }
    if (issue.code === "invalid_key") {
      return [{ path: issue.path, message: issue.issues[0]?.message ?? issue.message }];
    }
    if (issue.code !== "invalid_union") return [{ path: issue.path, message: issue.message }];
    const branches = issue.errors.map((issues) => problemsOf(new z.ZodError(issues)));
    const deepest = branches.reduce((best, next) => (depth(next) > depth(best) ? next : best), branches[0] ?? []);
    return deepest.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
  });
}

const depth = (problems: readonly Problem[]): number => Math.max(0, ...problems.map(({ path }) => path.length));

function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? String(step) : `.${String(step)}`;
  }
  return text;
}
