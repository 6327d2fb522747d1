/** What requests of custom endpoints may look like, and how the API's description shows them. */
import { defineEndpoint } from "@callboard/kit";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { call } from "../endpoints/fixture.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

type Tree = { name: string; children: Tree[] };
const tree: z.ZodType<Tree, Tree> = z.lazy(() => z.object({ name: z.string(), children: z.array(tree) }));
const node = z.object({
  at: z.date(),
  get next() {
    return node.optional();
  },
});
const sync = { mode: "sync", output: z.any() } as const;
const body = { ...sync, method: "POST" } as const;
const query = { ...sync, method: "GET" } as const;

const endpoints = {
  index: defineEndpoint({ ...query, input: z.strictObject({}), handle: () => "the folder itself" }),
  needs: defineEndpoint({ ...body, input: z.object({ name: z.string(), age: z.number() }), handle: () => 1 }),
  optional: defineEndpoint({ ...body, input: z.object({ name: z.string().default("you") }), handle: (c) => c.input }),
  nothing: defineEndpoint({ ...body, input: z.undefined(), handle: () => "nothing" }),
  list: defineEndpoint({ ...body, input: z.array(z.string()), handle: () => 1 }),
  search: defineEndpoint({
    ...query,
    input: z.object({
      tag: z.array(z.string()).default([]),
      since: z.coerce.date(),
      limit: z.coerce.number().optional(),
    }),
    output: z.object({ tag: z.array(z.string()), since: z.date() }),
    handle: ({ input }) => input,
  }),
  tree: defineEndpoint({ ...body, input: z.object({ tree }), output: node, handle: () => ({ at: new Date(0) }) }),
  "trees/[id]": defineEndpoint({ ...query, input: z.object({ tree }), handle: () => 1 }),
  "any-query": defineEndpoint({ ...query, input: z.unknown(), handle: (c) => c.input }),
  "own-schema": defineEndpoint({
    ...query,
    input: z.unknown(),
    inputJsonSchema: { anyOf: [{ $ref: "#/$defs/a" }], $defs: { a: { type: "object", required: ["x"] } } },
    handle: (c) => c.input,
  }),
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ endpoints, onLog: () => {} });
});
afterAll(() => server.stop());

const paths = async (answer: ReturnType<typeof call>) => {
  const { status, body: refused } = await answer;
  return [status, refused.error.details.fields.map(({ path }: { path: string }) => path)];
};
const get = (path: string) => call(server, path, undefined, { method: "GET" });

describe("no body", () => {
  test("is refused with the names of the fields that are missing", async () => {
    expect(await paths(call(server, "needs"))).toEqual([422, ["name", "age"]]);
  });

  test("is enough where no field is needed, and where nothing is taken", async () => {
    expect((await call(server, "optional")).body).toEqual({ name: "you" });
    expect((await call(server, "nothing")).body).toBe("nothing");
  });

  test("is no empty object for a schema of something else", async () => {
    const { body: refused } = await call(server, "list");
    expect(refused.error.message).toBe("body: Invalid input: expected array, received undefined");
  });
});

test.each([
  ["gzip", { "content-type": "application/json", "content-encoding": "gzip" }],
  ["another kind of JSON", { "content-type": "application/json-seq" }],
  ["a form", { "content-type": "application/x-www-form-urlencoded" }],
])("a body that is %s is refused by its headers", async (_, headers) => {
  const refused = await call(server, "optional", {}, { headers });
  expect([refused.status, refused.body.error.code]).toEqual([415, "unsupported_media_type"]);
  const api = await fetch(`${server.baseUrl}/api/v1/agents`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.token}`, ...headers },
    body: "{}",
  });
  expect(api.status).toBe(415);
});

describe("a query", () => {
  test("cannot hide a field behind the name of a prototype", async () => {
    expect((await get("any-query?__proto__=x")).status).toBe(422);
  });

  test("beside a body is for the handler alone, and may say anything twice", async () => {
    expect((await call(server, "optional?x=1&x=2", {})).status).toBe(200);
  });

  test("gives a list by its values under one name, any other field once", async () => {
    const one = await get("search?since=1970-01-01&tag=a,b");
    expect(one.body).toEqual({ tag: ["a,b"], since: "1970-01-01T00:00:00.000Z" });
    expect((await get("search?since=1970-01-01&tag=a&tag=b")).body.tag).toEqual(["a", "b"]);
    expect(await paths(get("search?since=1970-01-01&since=1971-01-01"))).toEqual([422, ["since"]]);
  });
});

test("HEAD is answered like GET, without the body, and nowhere else", async () => {
  const head = (path: string) =>
    fetch(`${server.baseUrl}/endpoints/${path}`, {
      method: "HEAD",
      headers: { authorization: `Bearer ${server.token}` },
    });
  const answer = await head("search?since=1970-01-01");
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/json"]);
  expect(Number(answer.headers.get("content-length"))).toBeGreaterThan(0);
  expect((await head("needs")).status).toBe(405);
});

test("endpoints/index.ts answers for the folder itself", async () => {
  const answer = await fetch(`${server.baseUrl}/endpoints`, { headers: { authorization: `Bearer ${server.token}` } });
  expect(await answer.json()).toBe("the folder itself");
});

describe("the API's description", () => {
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
  let document: any;
  beforeAll(async () => {
    document = (await server.client().get("/openapi.json")).body;
  });
  const operation = (path: string) => Object.values<typeof document>(document.paths[`/endpoints/${path}`])[0];

  test("shows a date as text and keeps the fields beside it", () => {
    const { parameters, responses } = operation("search");
    const [tag, since, limit] = parameters;
    expect(tag).toMatchObject({ name: "tag", in: "query", required: false, schema: { type: "array" } });
    expect(since).toMatchObject({ name: "since", required: true, schema: { type: "string", format: "date-time" } });
    expect(limit).toMatchObject({ name: "limit", schema: { type: "number" } });
    expect(responses["200"].content["application/json"].schema.properties).toMatchObject({
      tag: { type: "array" },
      since: { type: "string", format: "date-time" },
    });
  });

  test("says where a body may be left out", () => {
    expect(["needs", "optional"].map((path) => operation(path).requestBody.required)).toEqual([true, false]);
  });

  test("shows a query that is no plain object as all fields at once", () => {
    const whole = { in: "query", style: "form", explode: true };
    expect(operation("any-query").parameters[0]).toMatchObject({ ...whole, schema: { additionalProperties: true } });
    expect(operation("own-schema").parameters[0]).toMatchObject({ ...whole, schema: { anyOf: [{}] } });
  });

  test("has no reference that leads nowhere, also in schemas that hold themselves", () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(document, "api");
    const references: string[] = [];
    JSON.stringify(document.paths, (key, value) => {
      if (key === "$ref" && typeof value === "string") references.push(value);
      return value;
    });
    expect(references.filter((one) => one.includes("~1endpoints~1tree")).length).toBeGreaterThan(2);
    for (const reference of new Set(references)) expect(ajv.getSchema(`api${reference}`), reference).toBeDefined();

    const at = "#/paths/~1endpoints~1tree/post/requestBody/content/application~1json/schema";
    const fits = ajv.getSchema(`api${at}`) as (value: unknown) => boolean;
    expect(fits({ tree: { name: "a", children: [{ name: "b", children: [] }] } })).toBe(true);
    expect(fits({ tree: { name: "a", children: [{ name: 1, children: [] }] } })).toBe(false);
  });
});
