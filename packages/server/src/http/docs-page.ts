/** The API as a page: rendered here from the OpenAPI document, one file, nothing loaded from elsewhere. */
import type { OpenApi, Operation } from "./openapi.ts";

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const html = (text: string): string => text.replace(/[&<>"]/g, (c) => escapes[c] as string);
const code = (text: string): string => html(text).replace(/`([^`]+)`/g, "<code>$1</code>");

/** Keeps the page from loading or running anything. */
export const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export function docsPage(document: OpenApi): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const sections = document.tags.map(({ name }) => {
    const items = operations.filter(({ operation }) => operation.tags.includes(name));
    return `<section><h2 id="${html(name)}">${html(name)}</h2>${items.map(toItem).join("")}</section>`;
  });
  const schemas = Object.entries(document.components.schemas)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, schema]) =>
        `<details id="schema-${html(name)}"><summary><b>${html(name)}</b></summary>${json(schema)}</details>`,
    );
  const links = [...document.tags.map(({ name }) => name), "schemas"].map(
    (name) => `<a href="#${html(name)}">${html(name)}</a>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Callboard API</title><style>${STYLE}</style>
<header><h1>Callboard API</h1><p>Send <code>Authorization: Bearer &lt;token&gt;</code> with every request. The same as a document:
<a href="/api/v1/openapi.json">openapi.json</a>.</p><nav>${links.join(" ")}</nav></header>
<main>${sections.join("")}<section><h2 id="schemas">schemas</h2>${schemas.join("")}</section></main></html>`;
}

function toItem({ path, method, operation }: { path: string; method: string; operation: Operation }): string {
  const parameters = operation.parameters.map(
    (p) =>
      `<tr><td><code>${html(p.name)}</code></td><td>${html(p.in)}${p.required ? ", required" : ""}</td><td>${code(p.description ?? String(p.schema.description ?? ""))}</td></tr>`,
  );
  const bodies = Object.entries(operation.requestBody?.content ?? {}).map(
    ([type, { schema }]) => `<h4>Body <small>${html(type)}</small></h4>${json(schema)}`,
  );
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    const result = answer["x-job-result"];
    const later = result === undefined ? "" : `<p>${code(result.description)}</p>${json(result.schema)}`;
    return `<tr><td><code>${html(status)}</code></td><td>${code(answer.description)}${shown(schema)}${later}</td></tr>`;
  });
  return `<details id="${html(operation.operationId)}"><summary><code class="${method}">${method.toUpperCase()}</code> <code>${html(path)}</code>
<span>${code(operation.summary)}</span></summary>${parameters.length > 0 ? `<h4>Parameters</h4><table>${parameters.join("")}</table>` : ""}${bodies.join("")}
<h4>Answers</h4><table>${answers.join("")}</table></details>`;
}

const SCHEMAS = "#/components/schemas/";

/** A link to a schema with a name; the schema itself, as endpoints have it, where there is none. */
function shown(schema: { [key: string]: unknown } | undefined): string {
  if (schema === undefined) return "";
  if (typeof schema.$ref !== "string" || !schema.$ref.startsWith(SCHEMAS))
    return Object.keys(schema).length === 0 ? "" : json(schema);
  const name = html(schema.$ref.split("/").at(-1) ?? "");
  return ` <a href="#schema-${name}">${name}</a>`;
}

const json = (schema: unknown): string => `<pre>${html(JSON.stringify(schema, null, 2))}</pre>`;

const STYLE = `:root{color-scheme:light dark;--line:#8884;--soft:#8881}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem 1.5rem 4rem}
h1{margin:.5rem 0}h2{text-transform:capitalize;border-bottom:1px solid var(--line);padding-top:1.5rem}h4{margin:.8rem 0 .3rem}
nav{display:flex;gap:1rem;flex-wrap:wrap}details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary span{opacity:.75;display:block;padding-left:1.1rem}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);overflow:auto;padding:.7rem;border-radius:6px;max-height:28rem}table{border-collapse:collapse;width:100%}
td{border-top:1px solid var(--line);padding:.25rem .6rem .25rem 0;vertical-align:top}
.get{color:#0a7}.post{color:#06c}.patch,.put{color:#a60}.delete{color:#c33}`;
