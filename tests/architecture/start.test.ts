/** What is heavy and not needed by everybody is loaded when it is needed, so that a server starts quickly. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { root } from "../docs/pages.ts";

const urlOf = (path: string): string => pathToFileURL(join(root, path)).href;

/** What `callboard serve` loads until it looks for its settings; there are none here, and it ends. */
async function loadedByServer(): Promise<string[]> {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    process.on("exit", () => console.log(JSON.stringify(loaded)));
    process.argv = [process.argv[0], "callboard", "serve"];
    await import(${JSON.stringify(urlOf("packages/cli/src/bin.ts"))});`;
  const { DATABASE_URL: _, ...env } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { env });
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) text += chunk;
  const loaded = JSON.parse(text) as string[];
  return loaded.slice(0, loaded.indexOf(urlOf("packages/cli/src/main.ts"))); // what tells why it ended
}

test("a server that starts loads nothing that only some need, and nothing that talks to one", async () => {
  const loaded = await loadedByServer();
  const packages = new Set(loaded.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.slice(1) ?? []));
  expect(packages).toContain("hono");
  const heavy = [
    ...["@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/google", "@modelcontextprotocol/client", "just-bash"],
    ...["@node-rs/argon2", "ajv", "busboy", "jose", "openid-client", "prom-client", "unpdf", "commander"],
  ];
  expect(heavy.filter((name) => packages.has(name))).toEqual([]);
  expect(loaded).toContain(urlOf("packages/server/src/app.ts"));
  expect(loaded.filter((url) => url.startsWith(urlOf("packages/client/")))).toEqual([]);
  expect(loaded.filter((url) => url.startsWith(urlOf("packages/cli/")))).toEqual([
    urlOf("packages/cli/src/bin.ts"),
    urlOf("packages/cli/src/exit-code.ts"),
    urlOf("packages/cli/src/servers.ts"),
  ]);
});
