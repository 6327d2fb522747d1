/** T10, T11: the document describes every route, and every route refuses in the same words. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HttpClient } from "../../packages/server/src/testing/http-client.ts";
import { ok, openTarget, refusal, type Target, unique } from "./lib/target.ts";

// biome-ignore lint/suspicious/noExplicitAny: the document is walked as what it is
type Anything = any;

let target: Target;
let document: Anything;
type Operation = { name: string; method: string; path: string; operation: Anything };
let operations: Operation[];
/** What an operation asks of its caller: a token or a session, a session alone, nothing. */
const asks = ({ operation }: Operation): "token" | "session" | "nothing" => {
  if (operation.security === undefined) return "token";
  return operation.security.length === 0 ? "nothing" : "session";
};
const forTokens = () => operations.filter((one) => asks(one) === "token");
beforeAll(async () => {
  target = await openTarget();
  document = await (await fetch(`${target.client.baseUrl}/api/v1/openapi.json`)).json();
  operations = Object.entries(document.paths as Record<string, Record<string, Anything>>).flatMap(
    ([template, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        name: operation.operationId,
        method: method.toUpperCase(),
        path: template.replace("/api/v1", ""),
        operation,
      })),
  );
});
afterAll(() => target.stop());

/** A path whose ids are well-formed and name nothing. */
const absent = (path: string): string =>
  path
    .replace("{version}", "1")
    .replace(/\{(\w+)_id\}/g, (_, kind) => `${kind === "connection" ? "model" : kind}_01h455vb4pex5vsknk084sn02q`);

describe("the document", () => {
  test("is OpenAPI 3.1 and names each operation once", () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(operations.length).toBeGreaterThan(50);
    expect(new Set(operations.map(({ name }) => name)).size).toBe(operations.length);
  });

  test("every reference leads somewhere", () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref as string);
    expect(refs.length).toBeGreaterThan(0);
    for (const ref of new Set(refs)) {
      const found = ref
        .slice(2)
        .split("/")
        .reduce<Anything>((value, key) => value?.[key], document);
      expect(found, ref).toBeTypeOf("object");
    }
  });

  test("every path parameter is declared, and nothing else is", () => {
    for (const { path, operation, name } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, one]) => one);
      const declared = operation.parameters.filter((one: Anything) => one.in === "path");
      expect(
        declared.map((one: Anything) => one.name),
        name,
      ).toEqual(inPath);
    }
  });

  test("may be read from any page, and the docs page needs nobody else's server", async () => {
    const { baseUrl } = target.client;
    const text = await fetch(`${baseUrl}/api/v1/openapi.json`);
    expect(text.headers.get("access-control-allow-origin")).toBe("*");
    const page = await fetch(`${baseUrl}/api/v1/docs`);
    expect(page.status).toBe(200);
    const html = await page.text();
    expect(html).toContain("threads");
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });
});

describe("every operation", () => {
  test("asks for a caller, before anything else, unless it says that it asks for none", async () => {
    for (const { method, path } of operations.filter((one) => asks(one) !== "nothing")) {
      const answer = await target.client
        .as(null)
        .send(method, absent(path), { body: method === "GET" ? undefined : "{" } as never);
      expect(`${method} ${path} ${refusal(answer)}`).toBe(`${method} ${path} 401 unauthenticated`);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    }
  });

  test("that is for sessions takes no token, and one that asks for no caller does not look at it", async () => {
    for (const one of operations.filter((one) => asks(one) !== "token")) {
      const answer = await target.client.send(one.method, absent(one.path));
      const named = `${one.name} ${answer.status < 400 ? answer.status : refusal(answer)}`;
      if (asks(one) === "session") expect(named).toBe(`${one.name} 403 forbidden`);
      else expect(named).not.toMatch(/ 40[13] (unauthenticated|forbidden)/);
    }
  });

  test("asks for its scope", async () => {
    const { client } = target;
    const body = { label: "no scopes", scopes: [] };
    const bare = client.as(ok(await client.post("/tokens", body), 201).secret);
    const open: string[] = [];
    for (const { method, path, name } of forTokens()) {
      const answer = await bare.send(method, absent(path));
      if (answer.status < 300) open.push(name);
      else expect(`${name} ${refusal(answer)}`).toBe(`${name} 403 insufficient_scope`);
    }
    expect(open).toEqual(["me.get", "organization.get"]);
  });

  test("does not know ids that name nothing, well-formed or not", async () => {
    const withIds = forTokens().filter(({ path }) => path.includes("{"));
    for (const { method, path, operation, name } of withIds) {
      const json = operation.requestBody === undefined ? undefined : minimal[name];
      expect(operation.requestBody === undefined || json !== undefined, `a body for ${name}`).toBe(true);
      const query: Record<string, string> = name === "agents.diff" ? { from: "1" } : {};
      const paths = [absent(path), path.replace(/\{\w+\}/g, "nonsense"), path.replace(/\{\w+\}/g, "%22%27%3B--")];
      for (const one of paths) {
        const answer = await target.client.send(method, one, json === undefined ? { query } : { json, query });
        expect(`${method} ${one} ${refusal(answer)}`).toBe(`${method} ${one} 404 not_found`);
      }
    }
  });

  test("refuses a query it does not know", async () => {
    for (const { method, path, name, operation } of forTokens()) {
      const json = operation.requestBody === undefined ? undefined : minimal[name];
      const answer = await target.client.send(method, absent(path), {
        query: { surprise: "1" },
        ...(json === undefined ? {} : { json }),
      });
      expect(`${name} ${refusal(answer)}`).toBe(`${name} 422 invalid_request`);
      const fields = answer.body.error.details.fields.map((field: Anything) => field.path);
      expect(fields, name).toContain("surprise");
    }
  });

  test("with a body takes JSON objects only", async () => {
    const withBody = forTokens().filter(({ operation }) => operation.requestBody !== undefined);
    for (const { method, path, name } of withBody) {
      const at = absent(path);
      const type = { "content-type": "application/json" };
      const said = async (sending: Anything) => refusal(await target.client.send(method, at, sending));
      expect(await said({ body: "{", headers: type }), name).toBe("400 bad_json");
      expect(await said({ body: "", headers: type }), name).toBe("400 bad_json");
      expect(await said({ json: [] }), name).toBe("422 invalid_request");
      expect(await said({ json: "text" }), name).toBe("422 invalid_request");
      expect(await said({ json: null }), name).toBe("422 invalid_request");
      expect(await said({ json: { surprise: 1 } }), name).toBe("422 invalid_request");
      expect(await said({ body: "{}", headers: { "content-type": "text/plain" } }), name).toBe(
        "415 unsupported_media_type",
      );
      expect(await said({ body: new Uint8Array([1]) }), name).toBe("415 unsupported_media_type");
    }
  });

  test("with a body is bounded", async () => {
    const big = `{"a":"${"x".repeat(13 * 1024 * 1024)}"}`;
    for (const name of ["threads.create", "events.send", "agents.create", "files.uploadToThread", "tokens.create"]) {
      const { method, path } = operations.find((one) => one.name === name) as (typeof operations)[number];
      const sending = { body: big, headers: { "content-type": "application/json" } };
      expect(refusal(await target.client.send(method, absent(path), sending)), name).toBe("413 body_too_large");
    }
  });
});

describe("what is no operation", () => {
  test("a path that is none is 404", async () => {
    for (const path of [
      "/",
      "/nothing",
      "/threads",
      "/threads/a/b/c/d",
      "/agents/x/nothing",
      "/%00",
      "/..%2f..%2fetc",
    ]) {
      expect(`${path} ${refusal(await target.client.get(path))}`).toBe(`${path} 404 not_found`);
    }
  });

  test("a path with another method is 405 and says which ones it takes", async () => {
    const cases: Array<[string, string, string[]]> = [
      ["DELETE", "/agents", ["GET", "POST"]],
      ["PUT", "/threads/x", ["DELETE", "GET", "PATCH"]],
      ["GET", "/runs/x/cancel", ["POST"]],
      ["POST", "/me", ["GET"]],
      ["PATCH", "/threads/x/events", ["GET", "POST"]],
    ];
    for (const [method, path, allowed] of cases) {
      const answer = await target.client.send(method, path);
      expect(refusal(answer)).toBe("405 method_not_allowed");
      expect((answer.headers.get("allow") ?? "").split(", ").toSorted()).toEqual(allowed);
    }
  });

  test("HEAD answers like GET, without a body, and does not hold a stream open", async () => {
    const { client } = target;
    const agent = await target.agent(() => ({}));
    const { thread } = ok(await client.post(`${agent.path}/threads`, {}), 201);
    const paths = ["/me", `/threads/${thread.id}`, `/threads/${thread.id}/events/stream`, "/me"];
    for (const path of paths) {
      const answer = await client.send("HEAD", path);
      expect([path, answer.status, answer.text]).toEqual([path, 200, ""]);
    }
    expect((await client.send("HEAD", "/nothing")).status).toBe(404);
    expect((await client.as(null).send("HEAD", "/me")).status).toBe(401);
  });
});

describe("tokens that are none", () => {
  test.each([
    ["no header", undefined],
    ["another scheme", "Basic dXNlcjpwYXNz"],
    ["no token", "Bearer "],
    ["two tokens", "Bearer a b"],
    ["garbage", "Bearer 💥".replace("💥", "\u00ff")],
    ["a token of another shape", "Bearer sk-1234567890"],
    ["a mistyped token", "Bearer cbp_0000000000000000000000000000000000000000000000000"],
    ["a very long token", `Bearer cbp_${"a".repeat(8000)}`],
  ])("%s is 401", async (_what, authorization) => {
    const client = new HttpClient(target.client.baseUrl, { token: null });
    const answer = await client.get("/me", { headers: authorization === undefined ? {} : { authorization } });
    expect(refusal(answer)).toBe("401 unauthenticated");
    expect(answer.text).not.toContain("aaaa");
  });
});

/** The least body that each operation with ids in its path takes. */
const input = { type: "user.message", text: "hello" };
const minimal: Record<string, unknown> = {
  "threads.create": {},
  "threads.update": {},
  "events.send": input,
  "permissions.decide": { decision: "deny" },
  "runs.create": { input },
  "runs.createRaw": { input, config: {} },
  "files.uploadToAgent": { name: "a", content_base64: "" },
  "files.uploadToThread": { name: "a", content_base64: "" },
  "agents.create": { slug: unique("agent"), draft: { name: "A" } },
  "agents.update": {},
  "agents.setAccess": { users: [], groups: [] },
  "models.create": { slug: unique("model"), kind: "demo" },
  "models.update": {},
  "organization.update": {},
  "members.add": { email: `${unique("a")}@example.com`, name: "A" },
  "members.update": {},
  "groups.create": { slug: unique("group"), name: "G" },
  "groups.update": {},
  "budgets.update": {},
  "tokens.create": { label: "a" },
  "tokens.update": {},
  "tokens.rotate": {},
  "passwordLinks.create": { user_id: "user_01h455vb4pex5vsknk084sn02q" },
  "invitations.create": { email: `${unique("a")}@example.com` },
  "ssoConnections.update": {},
  "collections.create": { slug: unique("a"), name: "A" },
  "collections.update": {},
  "collections.setAccess": { organization: false, users: [], groups: [], services: [] },
  "documents.add": { name: "a.txt", text: "a" },
  "documents.replace": { text: "a" },
  "documents.search": { query: "a" },
};
