/** The OpenAPI 3.1 document, made from the route table that also validates. */
import {
  type ErrorCode,
  errorBody,
  errorCatalogue,
  event,
  jobAccepted,
  jobEvent,
  type Route,
  routes,
} from "@callboard/protocol";
import { z } from "zod";
import type { LoadedEndpoint } from "../endpoints/index.ts";

type Schema = Record<string, unknown>;
export type OpenApi = {
  openapi: string;
  info: Record<string, unknown>;
  servers: unknown[];
  tags: Array<{ name: string }>;
  security: unknown[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, unknown> };
};
export type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  security?: unknown[];
  parameters: Array<{
    name: string;
    in: string;
    required: boolean;
    schema: Schema;
    description?: string;
    style?: "form";
    explode?: true;
  }>;
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<
    string,
    {
      description: string;
      content?: Record<string, { schema: Schema }>;
      headers?: unknown;
      "x-job-result"?: { description: string; schema: Schema };
    }
  >;
};

/** Refusals any route may give; a query that a route does not know is one. */
const COMMON: ErrorCode[] = [
  "unauthenticated",
  "insufficient_scope",
  "invalid_request",
  "rate_limited",
  "internal",
  "unavailable",
];

let made: OpenApi | undefined;

/** The routes of the table, made once because they do not change while the server runs, and a project's endpoints. */
export function openApi(endpoints: readonly LoadedEndpoint[]): OpenApi {
  made ??= make();
  if (endpoints.length === 0) return made;
  const paths: OpenApi["paths"] = { ...made.paths };
  for (const endpoint of endpoints) {
    paths[endpoint.template] = { [endpoint.definition.method.toLowerCase()]: toEndpointOperation(endpoint) };
  }
  return { ...made, tags: [...made.tags, { name: "endpoints" }], paths };
}

function make(): OpenApi {
  const schemas: Record<string, Schema> = {};
  toSchema(jobAccepted, "output", schemas);
  const paths: OpenApi["paths"] = {};
  for (const [name, route] of Object.entries(routes) as Array<[string, Route]>) {
    const path = `/api/v1${route.path}`;
    paths[path] ??= {};
    (paths[path] as Record<string, Operation>)[route.method.toLowerCase()] = toOperation(name, route, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Callboard",
      version: "1",
      description: "Publish AI agents and call them: threads, runs, a permanent event log.",
    },
    servers: [{ url: "/" }],
    tags: [...new Set(Object.values(routes).map((route) => route.tag))].map((name) => ({ name })),
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A personal (cbp_…) or service (cbs_…) token." },
        session: {
          type: "apiKey",
          in: "cookie",
          name: "__Host-callboard_session",
          description: "Of a browser that has signed in. All but GET also need the header X-CSRF-Token.",
        },
      },
    },
  };
}

function toOperation(name: string, route: Route, schemas: Record<string, Schema>): Operation {
  const parameters = pathParameters(route.path);
  if (route.query !== undefined) parameters.push(...queryParameters(toSchema(route.query, "input", schemas)));
  if (route.idempotent === true) {
    const description = "Repeats with the same key get the stored answer.";
    parameters.push({
      name: "Idempotency-Key",
      in: "header",
      required: false,
      schema: { type: "string", maxLength: 255 },
      description,
    });
  }
  if (route.conditional === true) {
    const description = "The revision that the caller has seen, in quotes; refused when it is another one now.";
    parameters.push({ name: "If-Match", in: "header", required: false, schema: { type: "string" }, description });
  }
  if (route.summary.includes("Prefer: wait")) {
    const description = "`wait=N` waits up to N seconds, at most 60.";
    parameters.push({ name: "Prefer", in: "header", required: false, schema: { type: "string" }, description });
  }
  if (route.answer === "stream") {
    const description = "The last seq the reader holds.";
    parameters.push({ name: "Last-Event-ID", in: "header", required: false, schema: { type: "string" }, description });
  }
  const body = toBody(route, schemas);
  return {
    operationId: name,
    summary: route.summary,
    tags: [route.tag],
    ...(route.auth === undefined ? {} : { security: route.auth === "none" ? [] : [{ session: [] }] }),
    parameters,
    ...(body === undefined ? {} : { requestBody: body }),
    responses: { ...toAnswers(name, route, schemas), ...toRefusals(route, schemas) },
  };
}

function toEndpointOperation(endpoint: LoadedEndpoint): Operation {
  const { definition, name, template, inputSchema = {}, outputSchema = {} } = endpoint;
  const { method, mode } = definition;
  const job = { $ref: "#/components/schemas/JobAccepted" };
  const hasBody = method !== "GET" && method !== "DELETE";
  const description = "Repeats with the same key get the stored answer.";
  const schema = { type: "string", maxLength: 255 };
  const at = ["paths", template, method.toLowerCase()];
  const json = ["content", "application/json", "schema"];
  const inPath = pathParameters(template);
  const body = placed(inputSchema, [...at, "requestBody", ...json]);
  const answer = placed(outputSchema, [...at, "responses", "200", ...json]);
  const result = placed(outputSchema, [...at, "responses", "202", "x-job-result", "schema"]);
  return {
    operationId: `endpoints.${name}`,
    summary: definition.summary ?? `Endpoint ${name}.`,
    tags: ["endpoints"],
    parameters: [
      ...inPath,
      ...(hasBody ? [] : endpointQuery(inputSchema, [...at, "parameters"], inPath.length)),
      { name: "Idempotency-Key", in: "header", required: false, schema, description },
    ],
    ...(hasBody
      ? { requestBody: { required: !takesNothing(inputSchema), content: { "application/json": { schema: body } } } }
      : {}),
    responses: {
      ...(mode === "sync"
        ? { 200: { description: "The answer.", content: { "application/json": { schema: answer } } } }
        : {}),
      ...(endpoint.asJob
        ? {
            202: {
              description: "A job; `Location` has its address.",
              content: { "application/json": { schema: job } },
              "x-job-result": { description: "The job's `result` on `completed`.", schema: result },
            },
          }
        : {}),
      default: {
        description: "A refusal: of the catalogue, of the endpoint, or the end of the run that failed it.",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
  };
}

/** No body stands for an empty object. */
const takesNothing = ({ type, required = [] }: Schema): boolean =>
  type === "object" && (required as string[]).length === 0;

/** Field by field; an input that is no plain object stands for all fields at once. */
function endpointQuery(input: Schema, at: string[], before: number): Operation["parameters"] {
  const { $defs } = input;
  if (input.properties === undefined) {
    const description = "The fields of the endpoint's input.";
    const isKnown = Object.keys(input).length > 0;
    const schema = isKnown
      ? placed(input, [...at, String(before), "schema"])
      : { type: "object", additionalProperties: true };
    return [{ name: "input", in: "query", required: false, schema, description, style: "form", explode: true }];
  }
  return queryParameters(input).map((parameter, i) => {
    const whole = $defs === undefined ? parameter.schema : { ...parameter.schema, $defs };
    return { ...parameter, schema: placed(whole, [...at, String(before + i), "schema"]) };
  });
}

/**
 * A schema for a place in the document: its references count from the document's root there, not from its own.
 *
 * @param at the names on the way from the document's root
 */
function placed(schema: Schema, at: readonly string[]): Schema {
  const pointer = at.map((name) => `/${encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");
  const move = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(move);
    if (value === null || typeof value !== "object" || "$id" in value) return value; // references to a root of its own
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        if (key === "$ref" && typeof item === "string" && item.startsWith("#"))
          return [key, `#${pointer}${item.slice(1)}`];
        return [key, VALUES.has(key) ? item : move(item)];
      }),
    );
  };
  return move(schema) as Schema;
}

/** Keywords whose values are no schemas. */
const VALUES: ReadonlySet<string> = new Set(["const", "default", "enum", "examples"]);

const pathParameters = (path: string): Operation["parameters"] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, param]) => ({
    name: param as string,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));

function queryParameters(query: Schema): Operation["parameters"] {
  const { properties = {}, required = [] } = query as { properties?: Record<string, Schema>; required?: string[] };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.includes(name),
    schema,
  }));
}

function toBody(route: Route, schemas: Record<string, Schema>): Operation["requestBody"] {
  if (route.body === undefined) return undefined;
  const content: Record<string, { schema: Schema }> = {
    "application/json": { schema: toSchema(route.body, "input", schemas) },
  };
  if (route.multipart === true) {
    const file = { type: "string", format: "binary" };
    content["multipart/form-data"] = { schema: { type: "object", properties: { file }, required: ["file"] } };
  }
  return { required: true, content };
}

function toAnswers(name: string, route: Route, schemas: Record<string, Schema>): Operation["responses"] {
  const { answer } = route;
  if (answer === undefined) return { [route.status]: { description: "Done." } };
  if (answer === "stream") {
    const schema = toSchema(route.tag === "jobs" ? jobEvent : event, "output", schemas);
    return {
      200: {
        description: "Server-sent events; `data` of each is one of these.",
        content: { "text/event-stream": { schema } },
      },
    };
  }
  if (answer === "bytes") {
    return {
      200: {
        description: "The bytes.",
        content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
      },
    };
  }
  const content = { "application/json": { schema: toSchema(answer, "output", schemas) } };
  const answers: Operation["responses"] = { [route.status]: { description: route.summary, content } };
  if (name === "runs.create" || name === "runs.createRaw")
    answers[200] = { description: "The run has ended.", content };
  return answers;
}

function toRefusals(route: Route, schemas: Record<string, Schema>): Operation["responses"] {
  const codes: ErrorCode[] = [...COMMON, ...(route.errors ?? [])];
  if (route.body !== undefined) codes.push("bad_json", "unsupported_media_type", "body_too_large");
  if (route.method !== "GET") codes.push("csrf_refused");
  if (route.auth === "session") codes.push("forbidden");
  if (route.multipart === true) codes.push("bad_request");
  if (route.conditional === true) codes.push("precondition_failed");
  if (route.idempotent === true) codes.push("idempotency_conflict", "idempotency_in_progress");
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set(codes)) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const schema = toSchema(errorBody, "output", schemas);
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, list]) => [
        status,
        {
          description: list.map((code) => `\`${code}\`: ${errorCatalogue[code].summary}`).join(" "),
          content: { "application/json": { schema } },
        },
      ]),
  );
}

/** JSON Schema of a zod schema; named ones become components. */
function toSchema(schema: z.ZodType, io: "input" | "output", components: Record<string, Schema>): Schema {
  const {
    $schema: _,
    $defs,
    ...own
  } = z.toJSONSchema(schema, { io, unrepresentable: "any", target: "draft-2020-12" }) as Schema & {
    $defs?: Record<string, Schema>;
  };
  for (const [name, part] of Object.entries($defs ?? {})) components[name] ??= relink(part) as Schema;
  const id = schema.meta()?.id;
  if (typeof id !== "string") return relink(own) as Schema;
  components[id] ??= relink(own) as Schema;
  return { $ref: `#/components/schemas/${id}` };
}

/** `#/$defs/X` → `#/components/schemas/X`; ids that only served to name components go. */
function relink(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relink);
  if (value === null || typeof value !== "object") return value;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (key === "$ref" && typeof item === "string") copy[key] = item.replace("#/$defs/", "#/components/schemas/");
    else if (key === "id" && typeof item === "string") continue;
    else copy[key] = relink(item);
  }
  return copy;
}
