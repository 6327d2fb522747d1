/** What a server says of itself, for `generate` and lists. */
import { type CallboardClient, CallboardConnectionError, paginate } from "@callboard/client";
import { endpointsIn, type OpenApi } from "../code/openapi.ts";
import type { Described } from "../code/typed-helpers.ts";
import { findAgents } from "./found.ts";

export async function describeServer(client: CallboardClient, baseUrl: string): Promise<Described> {
  const agents = await findAgents(client);
  const models: { slug: string }[] = [];
  for await (const model of paginate((page) => client.models.list({ ...page, limit: 200 }))) models.push(model);
  return {
    agents: agents.flatMap(({ agent: { slug }, live }) => (live === null ? [] : [{ slug, live }])),
    tools: (await client.tools.list()).data,
    models,
    endpoints: endpointsIn(await readOpenApi(baseUrl)),
  };
}

/** The description is open to all, so the token stays here. */
export async function readOpenApi(baseUrl: string): Promise<OpenApi> {
  const url = `${baseUrl.replace(/\/+$/, "")}/api/v1/openapi.json`;
  const response = await fetch(url).catch((cause) => {
    throw new CallboardConnectionError(`no answer from ${baseUrl}`, { cause });
  });
  const document = response.ok ? await response.json() : undefined;
  if (typeof document?.paths === "object") return document as OpenApi;
  throw Object.assign(new Error(`${url} answered ${response.status}; expected the API's description`), {
    code: "answer",
  });
}
