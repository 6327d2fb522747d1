/** What is heavy and not needed by everybody is loaded when it is needed, so that a server starts quickly. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "../docs/pages.ts";

const program = `
  import { registerHooks } from "node:module";
  const loaded = [];
  registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
  await import(${JSON.stringify(pathToFileURL(join(root, "packages/server/src/app.ts")).href)});
  console.log(JSON.stringify(loaded));`;

test("a server that starts loads no provider's package, no MCP and no shell", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
    maxBuffer: 16 * 1024 * 1024,
  });
  const packages = (JSON.parse(stdout) as string[]).flatMap(
    (url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.slice(1) ?? [],
  );
  expect(packages).toContain("hono");
  for (const heavy of [
    "just-bash",
    "@modelcontextprotocol/client",
    "@ai-sdk/openai",
    "@ai-sdk/anthropic",
    "@ai-sdk/google",
  ]) {
    expect(packages).not.toContain(heavy);
  }
});
