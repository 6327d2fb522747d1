// biome-ignore-all lint/suspicious/noTemplateCurlyInString: placeholders are what this is about
/** A5: no value is expanded a second time, and nothing that is refused reaches a model or the database. */
import { defineAgent, defineEndpoint } from "@callboard/kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { hostileNames, hostileValues } from "../testing/hostile-values.ts";
import { startTestServer, type TestServer } from "../testing/server.ts";

// biome-ignore lint/suspicious/noExplicitAny: the endpoint takes what it is sent
const free = z.any() as any;
let server: TestServer;
beforeAll(async () => {
  const agent = {
    name: "Parrot",
    instructions: "[${TEXT}] [${SECRET}]",
    variables: {
      TEXT: { schema: { type: "string" } },
      SECRET: { schema: { type: "string" }, default: "canary-7f3a" },
      NUMBER: { schema: { type: "number" } },
      FLAG: { schema: { type: "boolean" } },
      CHOICE: { schema: { type: "string", enum: ["a", "b"] } },
      LOCALE: { schema: { type: "string", format: "locale" } },
    },
  } as const;
  server = await startTestServer({
    agents: { parrot: defineAgent(agent).definition },
    endpoints: {
      parrot: defineEndpoint({
        method: "POST",
        input: free,
        output: free,
        mode: "sync",
        handle: async ({ input, runAgent }) => {
          const run = await runAgent("parrot", { message: "hi", variables: input as Record<string, string> });
          return run.state;
        },
      }),
    },
  });
});
afterAll(() => server.stop());

const hello = { type: "user.message", text: "hi" };
const waited = { headers: { prefer: "wait=60" } };
const counts = () =>
  server.row<{ threads: number; runs: number; events: number; jobs: number }>(
    `select (select count(*) from threads)::int as threads, (select count(*) from runs)::int as runs,
            (select count(*) from events)::int as events, (select count(*) from jobs)::int as jobs`,
  );
const prompts = () => server.model.calls("parrot").map(({ messages }) => messages[0].content as string);

test("the corpus has at least 200 values", () => {
  expect(hostileValues.length).toBeGreaterThanOrEqual(200);
  expect(new Set(hostileValues.map(({ value }) => JSON.stringify(value))).size).toBeGreaterThanOrEqual(200);
});

describe("a value that is text", () => {
  test.each(hostileValues.filter(({ text }) => text === "kept"))("$name arrives as it is", async ({ value }) => {
    const body = { input: hello, variables: { TEXT: value } };
    const run = await server.client().post("/agents/parrot/runs", body, waited);
    expect(run.body.state).toBe("completed");
    expect(prompts().at(-1)).toBe(`[${value}] [canary-7f3a]`);
  });
});

describe("what is refused", () => {
  const ways: Array<[string, (variables: unknown) => Promise<{ status: number; body: { error: Anything } }>]> = [
    ["a run", (variables) => server.client().post("/agents/parrot/runs", { input: hello, variables }, waited)],
    ["a thread", (variables) => server.client().post("/agents/parrot/threads", { input: hello, variables })],
    ["a thread without a run", (variables) => server.client().post("/agents/parrot/threads", { variables })],
    ["an endpoint's run", (variables) => endpoint(variables)],
  ];
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they know is there
  type Anything = any;
  async function endpoint(variables: unknown) {
    const headers = { authorization: `Bearer ${server.token}`, "content-type": "application/json" };
    const body = JSON.stringify(variables);
    const answer = await fetch(`${server.baseUrl}/endpoints/parrot`, { method: "POST", headers, body });
    return { status: answer.status, body: (await answer.json()) as { error: Anything } };
  }

  test.each(ways)("starts nothing, through %s", async (_, send) => {
    const before = await counts();
    const calls = prompts().length;
    for (const { name, value } of hostileValues.filter(({ text }) => text === "refused")) {
      const { status, body } = await send({ TEXT: value });
      expect(`${name} ${status}`).toBe(`${name} 422`);
      const paths = body.error.details.fields.map(({ path }: Anything) => path);
      expect(paths.every((path: string) => /^(variables|TEXT)/.test(path))).toBe(true);
      expect(JSON.stringify(body)).not.toContain("canary");
    }
    expect(await counts()).toEqual(before);
    expect(prompts().length).toBe(calls);
  });

  test.each(ways)("names of variables that nobody declared, through %s", async (_, send) => {
    const before = await counts();
    for (const name of hostileNames) {
      const { status } = await send(JSON.parse(`{${JSON.stringify(name)}: "x"}`));
      expect(`${name} ${status}`).toBe(`${name} 422`);
    }
    expect(await counts()).toEqual(before);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  test("every value of the corpus where a number, a flag, a choice or a locale is declared", async () => {
    const before = await counts();
    for (const { name, value } of hostileValues) {
      for (const variable of ["NUMBER", "FLAG", "CHOICE", "LOCALE"]) {
        const fits =
          (variable === "NUMBER" && typeof value === "number") || (variable === "FLAG" && typeof value === "boolean");
        if (fits) continue;
        const { status } = await server.client().post("/agents/parrot/threads", { variables: { [variable]: value } });
        expect(`${variable} ${name} ${status}`).toBe(`${variable} ${name} 422`);
      }
    }
    expect(await counts()).toEqual(before);
  });
});
