/**
 * The contract: the OpenAPI document that the server itself serves. Every JSON answer is held against it.
 *
 *   method + path → operation → status → schema
 *
 * A status the operation does not name, an error code it does not name, a field too many, a field missing:
 * each fails the test that received the answer.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { Answer } from "../../../packages/server/src/testing/http-client.ts";

type Operation = { responses: Record<string, { description: string; content?: Record<string, { schema: object }> }> };
export type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
};

const API = "/api/v1";
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);

export class Contract {
  readonly #ajv: Ajv2020;
  readonly #operations: Array<{ method: string; pattern: RegExp; template: string; operation: Operation }>;
  readonly #seen = new Set<string>();

  constructor(document: Document) {
    this.#ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true, validateFormats: false });
    for (const word of ["example", "components"]) this.#ajv.addKeyword(word); // they say nothing about validity
    this.#ajv.addSchema({ $id: "document", components: document.components } as object, "document");
    this.#operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        template: path.slice(API.length),
        pattern: new RegExp(`^${path.slice(API.length).replace(/\{\w+\}/g, "[^/]+")}$`),
        operation,
      })),
    );
  }

  /** Operations that were answered with success, like `GET /me`; for a test that none was forgotten. */
  get succeeded(): ReadonlySet<string> {
    return this.#seen;
  }

  get operations(): string[] {
    return this.#operations.map(({ method, template }) => `${method} ${template}`);
  }

  /** Throws when the answer is not what the document says. */
  check(answer: Answer): void {
    const at = `${answer.method} ${answer.path} → ${answer.status}`;
    if (!METHODS.has(answer.method)) return;
    const found = this.#operations.find(({ method, pattern }) => method === answer.method && pattern.test(answer.path));
    if (found === undefined) {
      if (answer.status !== 404 && answer.status !== 405) throw new Error(`${at}: the document has no such operation`);
      this.#valid(`${at}: the error body`, { $ref: "document#/components/schemas/Error" }, answer.body);
      return;
    }
    const response = found.operation.responses[answer.status];
    if (response === undefined) throw new Error(`${at}: an undocumented status: ${answer.text}`);
    const requestId = answer.headers.get("x-request-id");
    if (answer.status < 400) this.#seen.add(`${answer.method} ${found.template}`);
    else {
      const { code, request_id } = answer.body?.error ?? {};
      if (!response.description.includes(`\`${code}\``)) throw new Error(`${at}: an undocumented code: ${answer.text}`);
      if (request_id !== requestId) throw new Error(`${at}: request_id ${request_id} but x-request-id ${requestId}`);
    }
    if (requestId === null) throw new Error(`${at}: x-request-id is missing`);
    if (response.content === undefined) {
      if (answer.text !== "") throw new Error(`${at}: expected no body, found ${answer.text}`);
      return;
    }
    const type = (answer.headers.get("content-type") ?? "").split(";")[0] as string;
    const documented = response.content[type];
    if (documented === undefined) throw new Error(`${at}: an undocumented content type ${type}`);
    if (type === "application/json") this.#valid(at, documented.schema, answer.body);
  }

  /** Throws when the value does not fit a named schema, such as `Event`. */
  fits(name: string, value: unknown): void {
    this.#valid(name, { $ref: `document#/components/schemas/${name}` }, value);
  }

  readonly #compiled = new Map<string, ValidateFunction>();

  #valid(at: string, schema: object, value: unknown): void {
    const text = JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/');
    let validate = this.#compiled.get(text);
    if (validate === undefined) {
      validate = this.#ajv.compile(JSON.parse(text));
      this.#compiled.set(text, validate);
    }
    if (validate(value)) return;
    const problems = (validate.errors ?? [])
      .slice(0, 5)
      .map((e) => `${e.instancePath || "/"} ${e.message} ${JSON.stringify(e.params)}`);
    throw new Error(`${at}: ${problems.join("; ")} in ${JSON.stringify(value)}`);
  }
}
