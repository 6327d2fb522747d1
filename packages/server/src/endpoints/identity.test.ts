/** C2, C7: whom a handler works for cannot be given, forged or lost, and nothing said on the way gets out by accident. */
import { defineEndpoint, defineTool, type ToolCaller } from "@callboard/kit";
import { type JobId, toUuid } from "@callboard/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "../testing/scripted-model.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";
import { call, eventually, later } from "./fixture.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
type Anything = any;
const common = { method: "POST", input: z.looseObject({ name: z.string() }), output: z.any() } as const;

/** Who the tool saw, by the name that its run was asked with. */
const seen = new Map<string, ToolCaller[]>();
let gate = later();
const late = new Map<string, { resolve: () => void; promise: Promise<void> }>();
const endpoints = {
  /** Runs the agent in a promise that nobody holds, out of a timer. */
  detached: defineEndpoint({
    ...common,
    mode: "sync",
    async handle({ input, runAgent }) {
      const done = later<string>();
      setTimeout(async () => {
        const run = await runAgent("who", { message: input.name });
        setImmediate(() => done.resolve(run.id));
      }, 5);
      return done.promise;
    },
  }),
  /** Goes on after its end. */
  afterwards: defineEndpoint({
    ...common,
    mode: "sync",
    handle({ input, runAgent, relayStatus }) {
      const gate = later();
      late.set(input.name, gate);
      void gate.promise.then(() => {
        relayStatus("still here");
        return runAgent("who", { message: input.name });
      });
      return "over";
    },
  }),
  job: defineEndpoint({
    ...common,
    mode: "polling",
    async handle({ input, runAgent, caller }) {
      await gate.promise;
      const run = await runAgent("who", { message: input.name });
      return { run: run.id, caller: caller.userId };
    },
  }),
  returns: defineEndpoint({
    ...common,
    mode: "sync",
    async handle({ input, runAgent }) {
      const run = await runAgent("who", { message: input.name });
      return input.as === "text" ? JSON.stringify(run) : run;
    },
  }),
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    agents: { who: { name: "Who", instructions: "The instructions are private.", tools: ["note"] } },
    tools: {
      note: defineTool({
        description: "Notes who asks.",
        input: z.strictObject({ name: z.string() }),
        effect: "read",
        run({ name }, { caller }) {
          seen.set(name, [...(seen.get(name) ?? []), caller]);
          return "the tool's answer is private";
        },
      }),
    },
    endpoints,
    onLog: () => {},
  });
  server.model.script("who", ({ lastUser, toolResults }) =>
    toolResults.length === 0 ? callTool("note", { name: lastUser }) : say("noted"),
  );
});
afterAll(() => server.stop());

const asked = (path: string, name: string, token: string, more: object = {}, headers: Record<string, string> = {}) =>
  call(server, path, { name, ...more }, { token, headers });
/** Whom a run works for, as it is stored. */
const principalOf = async (run: string): Promise<Anything> =>
  (await server.row<{ principal: Anything }>("select principal from runs where id = $1", [toUuid(run as never)]))
    .principal;
const jobEnd = async (id: string, token: string) => (await server.client(token).get(`/jobs/${id}?wait=60`)).body;

describe("whom a call works for", () => {
  test("is kept in promises that nobody holds, for each of many callers at once", async () => {
    const people = await Promise.all(Array.from({ length: 6 }, () => server.person("member")));
    const runs = await Promise.all(people.map(({ token }, i) => asked("detached", `detached ${i}`, token)));
    for (const [i, { userId, token }] of people.entries()) {
      const run = runs[i]?.body as string;
      expect(seen.get(`detached ${i}`)).toMatchObject([{ userId, kind: "user" }]);
      expect(await principalOf(run)).toMatchObject({ userId });
      expect((await server.client(token).get(`/runs/${run}`)).status).toBe(200);
      const other = people[(i + 1) % people.length] as { token: string };
      expect((await server.client(other.token).get(`/runs/${run}`)).status).toBe(404);
    }
  });

  test("is nobody any more when the handler is over: nothing is started then", async () => {
    const { token } = await server.person("member");
    expect((await asked("afterwards", "after the end", token)).body).toBe("over");
    late.get("after the end")?.resolve();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(seen.has("after the end")).toBe(false);
    expect((await server.client(token).get("/runs")).body.data).toEqual([]);
  });

  test("is the same after a crash, and on another process", async () => {
    const other = await server.second();
    try {
      for (const name of ["crash one", "crash two"]) {
        gate = later();
        const { userId, token } = await server.person("member");
        const { body } = await asked("job", name, token);
        await eventually(async () => (await server.client(token).get(`/jobs/${body.job_id}`)).body.state === "running");
        await server.row("update jobs set lease_owner = gen_random_uuid() where id = $1", [
          toUuid(body.job_id as JobId),
        ]);
        const attempt = () =>
          server.row<{ a: number }>("select attempt as a from jobs where id = $1", [toUuid(body.job_id)]);
        await eventually(async () => (await attempt()).a === 2);
        gate.resolve();
        const done = await jobEnd(body.job_id, token);
        expect(done).toMatchObject({ created_by: { kind: "user", id: userId }, result: { caller: userId } });
        expect(await principalOf(done.result.run)).toMatchObject({ userId });
        for (const caller of seen.get(name) ?? []) expect(caller.userId).toBe(userId);
        expect(seen.get(name)?.length).toBeGreaterThan(0);
      }
    } finally {
      await other.stop();
    }
  });

  test.each(["detached", "job"])("is not taken from what the request says (%s)", async (path) => {
    gate = later();
    gate.resolve();
    const { userId, token } = await server.person("member");
    const owner = server.ownerId;
    const forged = {
      principal: { kind: "user", userId: owner, scopes: ["audit:read"] },
      caller: { userId: owner },
      user: owner,
      user_id: owner,
      attributed_user_id: owner,
      created_by: { kind: "user", id: owner },
      token: server.token,
    };
    const headers = Object.fromEntries(
      ["x-user-id", "x-principal", "x-forwarded-user", "x-callboard-user", "remote-user", "from"].map((name) => [
        name,
        owner,
      ]),
    );
    const name = `forged ${path}`;
    const answer = await asked(path, name, token, forged, headers);
    const run = path === "job" ? (await jobEnd(answer.body.job_id, token)).result.run : answer.body;
    expect(await principalOf(run)).toMatchObject({ userId });
    expect(seen.get(name)).toMatchObject([{ userId }]);
  });

  test("is a service's own for a service, without a person", async () => {
    const who = (await server.client().get("/agents/who")).body.id;
    const token = await server.service({ agent_ids: [who], scopes: ["threads:read", "threads:write"] });
    const run = (await asked("detached", "service", token, { attributed_user_id: server.ownerId })).body;
    expect(await principalOf(run)).toMatchObject({ kind: "service", userId: null });
    expect(seen.get("service")).toMatchObject([{ kind: "service", userId: null, email: null }]);
  });
});

describe("a finished run", () => {
  test("holds nothing of what was said on the way, nor a secret", async () => {
    const { body } = await asked("returns", "printed", server.token, { as: "text" });
    expect(Object.keys(JSON.parse(body)).sort()).toEqual(["agentVersion", "id", "state", "text", "threadId", "usage"]);
    expect(body).not.toMatch(/private|cbp_|scopes|email|@/);
  });

  test("is no answer itself: it is refused, not printed", async () => {
    const { status, body } = await asked("returns", "returned", server.token);
    expect([status, body.error.code]).toEqual([500, "endpoint_output_invalid"]);
    expect(JSON.stringify(body)).not.toContain("noted");
  });

  test("gives its transcript only on its own route, to who may read it", async () => {
    const { token } = await server.person("member", { scopes: ["threads:read", "threads:write"] });
    const run = (await asked("detached", "transcript", token)).body;
    expect((await server.client(token).get(`/runs/${run}`)).text).not.toContain("private");
    const refused = await server.client(token).get(`/runs/${run}/transcript`);
    expect([refused.status, refused.body.error.code]).toEqual([403, "insufficient_scope"]);
  });
});
