/**
 * Runs the client as a browser would: its modules see what the web has and nothing of Node, and import one another only.
 *
 *     node --experimental-vm-modules no-node.ts <base url>    prints what came of it, as JSON
 */
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { createContext, SourceTextModule } from "node:vm";

const web = {
  AbortController,
  AbortSignal,
  Blob,
  crypto,
  fetch,
  Headers,
  ReadableStream,
  Response,
  TextDecoder,
  TextEncoder,
  TransformStream,
  URL,
  URLSearchParams,
  clearTimeout,
  setTimeout,
};
const context = createContext(web);
const modules = new Map<string, SourceTextModule>();

async function load(specifier: string): Promise<SourceTextModule> {
  if (!/^\.\/[\w-]+\.ts$/.test(specifier)) throw new Error(`no file of the client's own: ${specifier}`);
  const known = modules.get(specifier);
  if (known !== undefined) return known;
  const source = await readFile(new URL(`../${specifier}`, import.meta.url), "utf8");
  const made = new SourceTextModule(stripTypeScriptTypes(source), { context, identifier: specifier });
  modules.set(specifier, made);
  return made;
}

const entry = await load("./index.ts");
await entry.link(load);
await entry.evaluate();
const { createClient, CallboardApiError } = entry.namespace as typeof import("../index.ts");

const client = createClient({ baseUrl: process.argv[2] as string, token: "cbp_browser" });
const { run } = await client.threads.run("support", { text: "Hello" });
const followed: string[] = [];
for await (const event of client.events.follow(run.thread_id, { until: "run-end" })) followed.push(event.type);
// What a page has of a file; a stream is collected first, since browsers cannot send one to every server.
const bytes = new Blob(["a,b\n"]).stream() as ReadableStream<Uint8Array>;
await client.files.uploadToThread(run.thread_id, { name: "list.csv", content: bytes });
const refusal = await client.me.get().catch((error: unknown) => error);
const stopped = new AbortController();
stopped.abort("enough");
const aborted = await client.me.get({ signal: stopped.signal }).catch((error: unknown) => error);

const leaving = new AbortController();
const endless = client.files
  .uploadToThread(run.thread_id, { name: "endless", content: new ReadableStream() }, { signal: leaving.signal })
  .catch((error: unknown) => error);
leaving.abort("left");

const { code, requestId, details } = refusal as InstanceType<typeof CallboardApiError>;
process.stdout.write(
  JSON.stringify({
    globals: "process" in context || "Buffer" in context || "require" in context,
    state: run.state,
    followed,
    refusal: { isOurs: refusal instanceof CallboardApiError, code, requestId, fields: details.fields },
    aborted: [aborted, await endless],
  }),
);
