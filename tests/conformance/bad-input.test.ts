/** T10: what is wrong with a request is said with its path, and nothing is written. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../packages/server/src/testing/scripted-model.ts";
import { logOf, message, openEmpty } from "./lib/talk.ts";
import { ok, openTarget, refusal, type Target, type TestAgent, unique } from "./lib/target.ts";

let target: Target;
let agent: TestAgent;
let path: string;
beforeAll(async () => {
  target = await openTarget();
  agent = await target.agent(() => say("."), {
    variables: { CITY: { schema: { type: "string", enum: ["Bern", "Rome"] } }, DEPTH: { schema: { type: "integer" } } },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the server's placeholder
    instructions: "Speak of ${CITY:-Bern}.",
  });
  path = (await openEmpty(target.client, agent)).path;
});
afterAll(() => target.stop());

const text = (length: number) => "x".repeat(length);
const id = (kind: string) => `${kind}_01h455vb4pex5vsknk084sn02q`;

// What is sent, and the path that the refusal names.
type Case = [what: string, body: unknown, field: string];

const threadCases: Case[] = [
  ["an unknown field", { surprise: 1 }, "surprise"],
  ["an unknown field inside", { input: { type: "user.message", text: "a", surprise: 1 } }, "input.surprise"],
  ["a user", { user_id: id("user") }, "user_id"],
  ["neither text nor content", { input: { type: "user.message" } }, "input.content"],
  [
    "text and content",
    { input: { type: "user.message", text: "a", content: [{ type: "text", text: "a" }] } },
    "input.content",
  ],
  ["an empty text", { input: message("") }, "input.text"],
  ["a text that is a number", { input: { type: "user.message", text: 7 } }, "input.text"],
  ["a text beyond a million characters", { input: message(text(1_000_001)) }, "input.text"],
  ["no content", { input: { type: "user.message", content: [] } }, "input.content"],
  ["content that is no list", { input: { type: "user.message", content: "a" } }, "input.content"],
  ["an unknown part", { input: { type: "user.message", content: [{ type: "image" }] } }, "input.content[0].type"],
  [
    "a part without its text",
    { input: { type: "user.message", content: [{ type: "text" }] } },
    "input.content[0].text",
  ],
  [
    "a file that is no id",
    { input: { type: "user.message", content: [{ type: "file", file_id: "x" }] } },
    "input.content[0].file_id",
  ],
  ["another event", { input: { type: "user.interrupt" } }, "input.type"],
  ["a title that is too long", { title: text(301) }, "title"],
  ["an empty title", { title: "" }, "title"],
  ["a reference that is a number", { client_external_ref: 7 }, "client_external_ref"],
  ["metadata that is a list", { metadata: [] }, "metadata"],
  ["metadata with a number", { metadata: { a: 1 } }, "metadata.a"],
  ["metadata with a long value", { metadata: { a: text(1025) } }, "metadata.a"],
  [
    "too much metadata",
    { metadata: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, ""])) },
    "metadata",
  ],
  ["files that are no ids", { files: ["a"] }, "files[0]"],
  ["an id of another kind", { attributed_user_id: id("agent") }, "attributed_user_id"],
  ["NUL in a string", { title: "a\u0000b" }, "title"],
  [
    "NUL deep inside",
    { input: { type: "user.message", content: [{ type: "text", text: "\u0000" }] } },
    "input.content[0].text",
  ],
  ["NUL in a key", { metadata: { "a\u0000": "b" } }, "metadata"],
  ["half a surrogate pair", { title: "a\ud800" }, "title"],
  ["the other half", { metadata: { a: "\udc00" } }, "metadata.a"],
];

const variableCases: Case[] = [
  ["an undeclared variable", { variables: { NAME: "x" } }, "variables.NAME"],
  ["a value outside the list", { variables: { CITY: "Oslo" } }, "variables.CITY"],
  ["a value of another type", { variables: { DEPTH: "deep" } }, "variables.DEPTH"],
  ["half a number", { variables: { DEPTH: 1.5 } }, "variables.DEPTH"],
];

const eventCases: Case[] = [
  ["no events", { events: [] }, "events"],
  ["too many events", { events: Array.from({ length: 101 }, () => message("a")) }, "events"],
  ["an unknown type", { events: [{ type: "user.shout", text: "a" }] }, "events[0].type"],
  ["a second event that is wrong", { events: [message("a"), message("")] }, "events[1].text"],
  ["an unknown field", { events: [{ ...message("a"), surprise: 1 }] }, "events[0].surprise"],
  ["an unknown field beside the list", { events: [message("a")], surprise: 1 }, "surprise"],
  ["an unknown mode", { events: [{ ...message("a"), on_active_run: "wait" }] }, "events[0].on_active_run"],
  [
    "an unknown decision",
    { events: [{ type: "permission.decision", permission_id: id("perm"), decision: "maybe" }] },
    "events[0].decision",
  ],
  [
    "a decision without its request",
    { events: [{ type: "permission.decision", decision: "deny" }] },
    "events[0].permission_id",
  ],
  ["an interrupt of what is no run", { events: [{ type: "user.interrupt", run_id: "x" }] }, "events[0].run_id"],
  ["a short form that is wrong", message(""), "text"],
  ["a short form with an unknown field", { ...message("a"), surprise: 1 }, "surprise"],
];

const fieldsOf = (answer: { body: { error: { details?: { fields?: Array<{ path: string }> } } } }): string[] =>
  (answer.body.error.details?.fields ?? []).map((field) => field.path);

/** What must stay as it is: the agent's threads and runs, and the thread's log. */
async function written(): Promise<unknown> {
  const { client } = target;
  const threads = ok(await client.get(`${agent.path}/threads`, { query: { limit: 200 } })).data;
  const runs = ok(await client.get("/runs", { query: { agent_id: agent.id, limit: 200 } })).data;
  return { threads, runs, log: await logOf(client, path), thread: ok(await client.get(path)) };
}

describe("refused with the path, and nothing is written", () => {
  test.each([
    ["threads.create", () => `${agent.path}/threads`, threadCases, "invalid_request"],
    ["threads.create with variables", () => `${agent.path}/threads`, variableCases, "invalid_variables"],
    ["events.send", () => `${path}/events`, eventCases, "invalid_request"],
  ] as Array<[string, () => string, Case[], string]>)("%s", async (_name, at, cases, code) => {
    const before = await written();
    for (const [what, body, field] of cases) {
      const answer = await target.client.post(at(), body);
      expect(`${what}: ${refusal(answer)}`).toBe(`${what}: 422 ${code}`);
      expect(fieldsOf(answer), what).toContain(field);
    }
    expect(await written()).toEqual(before);
  });

  test("runs.create checks input and variables before a run exists", async () => {
    const before = await written();
    const input = message("a");
    const cases: Array<[unknown, string]> = [
      [{}, "422 invalid_request"],
      [{ input, on_active_run: "steer" }, "422 invalid_request"],
      [{ input, thread_id: "x" }, "422 invalid_request"],
      [{ input, thread_id: id("thread") }, "404 not_found"],
      [{ input, variables: { CITY: "Oslo" } }, "422 invalid_variables"],
      [
        { input: { type: "user.message", content: [{ type: "file", file_id: id("file") }] } },
        "422 file_not_attachable",
      ],
    ];
    for (const [body, expected] of cases) {
      expect(refusal(await target.client.post(`${agent.path}/runs`, body))).toBe(expected);
    }
    expect(await written()).toEqual(before);
    expect(agent.calls()).toEqual([]);
  });

  test("a batch is all or nothing: a good message before a bad decision leaves no trace", async () => {
    const before = await written();
    const bad = { type: "permission.decision", permission_id: id("perm"), decision: "deny" };
    const batches: Array<[unknown[], string]> = [
      [[message("good"), bad], "404 not_found"],
      [[{ type: "user.interrupt" }, message("good")], "409 no_active_run"],
      [
        [message("good"), { type: "user.message", content: [{ type: "file", file_id: id("file") }] }],
        "422 file_not_attachable",
      ],
    ];
    for (const [events, expected] of batches) {
      expect(refusal(await target.client.post(`${path}/events`, { events }))).toBe(expected);
    }
    expect(await written()).toEqual(before);
    expect(agent.calls()).toEqual([]);
  });
});

describe("queries", () => {
  test.each([
    ["limit=0", "limit"],
    ["limit=201", "limit"],
    ["limit=-1", "limit"],
    ["limit=1.5", "limit"],
    ["limit=", "limit"],
    ["limit=99999999999999999999", "limit"],
    ["limit=5&limit=6", "limit"],
    ["state=busy", "state"],
    ["archived=1", "archived"],
    ["cursor=%00", "cursor"],
    ["cursor=", "cursor"],
    ["client_external_ref=a%00b", "client_external_ref"],
    ["a%00b=1", ""],
    ["constructor=1", "constructor"],
    ["__proto__=1", "__proto__"],
  ])("%s is refused", async (query, field) => {
    const answer = await target.client.get(`${agent.path}/threads?${query}`);
    expect(refusal(answer)).toBe("422 invalid_request");
    expect(fieldsOf(answer)).toContain(field);
  });

  test.each(["after_seq=-1", "after_seq=a", "after_seq=1e3", "limit=1001", "types=", "types=a,b"])(
    "events?%s is refused",
    async (query) => {
      expect(refusal(await target.client.get(`${path}/events?${query}`))).toBe("422 invalid_request");
    },
  );

  test("half a percent sign and NUL in a path are refused or unknown, never a failure", async () => {
    for (const part of ["%00", "%", "%ff", "%ed%a0%80", "a%2fb", "..", "%2e%2e"]) {
      const answer = await target.client.get(`/runs/${part}`);
      expect([404, 422], `${part} ${answer.text}`).toContain(answer.status);
    }
  });
});

describe("bodies", () => {
  const type = { "content-type": "application/json" };

  test.each([
    ["cut", '{"title":"a'],
    ["two values", "{}{}"],
    ["a comment", "{/**/}"],
    ["a raw line break", '{"title":"a\nb"}'],
    ["NaN", '{"title":NaN}'],
    ["a byte order mark and nothing", "\ufeff"],
  ])("%s is no JSON", async (_what, body) => {
    expect(refusal(await target.client.post(`${agent.path}/threads`, undefined, { body, headers: type }))).toBe(
      "400 bad_json",
    );
  });

  test("bytes that are not UTF-8 do not get into the log", async () => {
    const body = Buffer.concat([Buffer.from('{"title":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const answer = await target.client.post(`${agent.path}/threads`, undefined, { body, headers: type });
    expect(refusal(answer)).toBe("400 bad_json");
  });

  test("a very deep document is refused", async () => {
    const body = `{"metadata":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    const answer = await target.client.post(`${agent.path}/threads`, undefined, { body, headers: type });
    expect([400, 422]).toContain(answer.status);
  });

  test("the content type may carry parameters, and may be a JSON of another name", async () => {
    for (const one of ["application/json; charset=utf-8", "application/merge-patch+json"]) {
      const sending = { body: '{"title":"ok"}', headers: { "content-type": one } };
      ok(await target.client.patch(path, undefined, sending));
    }
  });

  test("a name like __proto__ is an unknown field or kept as it is", async () => {
    const body = '{"__proto__":{"title":"polluted"}}';
    const answer = await target.client.post(`${agent.path}/threads`, undefined, { body, headers: type });
    expect(refusal(answer)).toBe("422 invalid_request");
    const said = await openEmpty(target.client, agent, { metadata: { constructor: "x", toString: "y" } });
    expect(ok(await target.client.get(said.path)).thread.metadata).toEqual({ constructor: "x", toString: "y" });
  });

  test("text of every kind that can be stored comes back as it was sent", async () => {
    const title = '\u0001\u001f \u007f é e\u0301 \u202e 日本 🏴‍☠️ \u2028 \\u0000 " \\ \ufffd \uffff';
    expect((await openEmpty(target.client, agent, { title })).thread.title).toBe(title);
  });
});

describe("management", () => {
  test.each([
    ["a slug with capitals", "/agents", { slug: "Agent", draft: { name: "A" } }, "slug"],
    ["an agent without a name", "/agents", { slug: "a", draft: {} }, "draft.name"],
    [
      "a tool with an unknown policy",
      "/agents",
      { slug: "a", draft: { name: "A", tools: [{ name: "t", approval: "ask" }] } },
      "draft.tools[0].approval",
    ],
    [
      "a variable in small letters",
      "/agents",
      { slug: "a", draft: { name: "A", variables: { city: { schema: { type: "string" } } } } },
      "draft.variables.city",
    ],
    [
      "no time at all",
      "/agents",
      { slug: "a", draft: { name: "A", limits: { timeout_ms: 1 } } },
      "draft.limits.timeout_ms",
    ],
    ["an address that is none", "/members", { email: "kim", name: "Kim" }, "email"],
    ["a role that is none", "/members", { email: "kim@example.com", name: "Kim", role: "king" }, "role"],
    ["a member who is no id", "/groups", { slug: "a", name: "A", user_ids: ["kim"] }, "user_ids[0]"],
    ["a scope that is none", "/tokens", { label: "a", scopes: ["everything"] }, "scopes[0]"],
    ["a token for ever and a day", "/tokens", { label: "a", expires_in_days: 4000 }, "expires_in_days"],
    ["agents for a personal token", "/tokens", { label: "a", agent_ids: [] }, "agent_ids"],
    ["a connection without an address", "/model-connections", { slug: "a", kind: "openai-compatible" }, "base_url"],
    [
      "a connection to a file",
      "/model-connections",
      { slug: "a", kind: "openai-compatible", base_url: "file:///etc/passwd" },
      "base_url",
    ],
  ])("%s is refused", async (_what, at, body, field) => {
    const answer = await target.client.post(at, body);
    expect(refusal(answer)).toBe("422 invalid_request");
    expect(fieldsOf(answer)).toContain(field);
  });

  test("a name that is taken is a conflict", async () => {
    const { client } = target;
    expect(refusal(await client.post("/agents", { slug: agent.slug, draft: { name: "A" } }))).toBe("409 slug_taken");
    const group = { slug: unique("group"), name: "G" };
    ok(await client.post("/groups", group), 201);
    expect(refusal(await client.post("/groups", group))).toBe("409 slug_taken");
    const member = { email: `${unique("kim")}@example.com`, name: "Kim" };
    ok(await client.post("/members", member), 201);
    expect(refusal(await client.post("/members", { ...member, email: member.email.toUpperCase() }))).toBe(
      "409 already_exists",
    );
    expect(refusal(await client.post("/model-connections", { slug: target.connection, kind: "demo" }))).toBe(
      "409 slug_taken",
    );
  });
});
