/** What a call of an endpoint brings along. */
import type { IncomingMessage } from "node:http";
import { CallboardError } from "@callboard/protocol";
import { invalidRequest, requireStorable } from "../access/index.ts";
import type { CallRequest } from "../endpoints/index.ts";
import { isJson, MAX_JSON_BYTES, parseJson, readBody } from "./body.ts";

/** Headers that carry secrets: a handler knows its caller without them. */
const SECRET_HEADERS = new Set(["authorization", "proxy-authorization", "cookie", "x-csrf-token"]);

/**
 * @param lists fields that a query may give more than once
 * @throws unsupported_media_type, body_too_large, bad_json, invalid_request
 */
export async function readRequest(
  incoming: IncomingMessage,
  params: Record<string, string>,
  lists: ReadonlySet<string>,
): Promise<CallRequest> {
  const { url = "", headers, method = "" } = incoming;
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? "" : url.slice(mark);
  const inQuery = ["GET", "HEAD", "DELETE"].includes(method);
  const fields = inQuery ? queryFields(query, lists) : Object.fromEntries(new URLSearchParams(query));
  requireStorable({ ...fields, ...params });
  const input = inQuery ? fields : await readInput(incoming);
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || SECRET_HEADERS.has(name)) continue;
    given[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return { path, query, headers: given, params, ...(input === undefined ? {} : { input }) };
}

/** The JSON body; undefined for none. */
async function readInput(incoming: IncomingMessage): Promise<unknown> {
  const type = incoming.headers["content-type"];
  if (type !== undefined && !isJson(type)) throw unsupported(type);
  const bytes = await readBody(incoming, MAX_JSON_BYTES);
  if (bytes.length === 0) return undefined;
  if (type === undefined) throw unsupported("missing");
  return parseJson(bytes);
}

const unsupported = (found: string) =>
  new CallboardError("unsupported_media_type", `content-type is ${found}; expected application/json`);

function queryFields(query: string, lists: ReadonlySet<string>): Record<string, string | string[]> {
  const given = new URLSearchParams(query);
  // Not by assignment, in which a field called `__proto__` would vanish.
  return Object.fromEntries(
    [...new Set(given.keys())].map((name) => {
      const values = given.getAll(name);
      if (lists.has(name)) return [name, values];
      if (values.length > 1) throw invalidRequest([{ path: name, message: "given more than once" }]);
      return [name, values[0] as string];
    }),
  );
}
