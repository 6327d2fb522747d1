import { defineTool } from "@callboard/kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { callTool, say } from "./scripted-model.ts";
import { startTestServer, type TestServer } from "./server.ts";

const input = z.strictObject({ city: z.string() });
const weather = defineTool({ description: "Weather.", input: input as never, effect: "read", run: () => "sunny" });

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    tools: { weather },
    agents: { forecaster: { name: "Forecaster", tools: ["weather"] } },
  });
});
afterAll(() => server.stop());

test("an agent of the test's project runs with its tool against a script", async () => {
  server.model.script("forecaster", ({ index, toolResults }) =>
    index === 0 ? callTool("weather", { city: "Bern" }) : say("It is ", String(toolResults[0])),
  );
  const run = await server
    .client()
    .post(
      "/agents/forecaster/runs",
      { input: { type: "user.message", text: "?" } },
      { headers: { prefer: "wait=60" } },
    );
  expect(run.body).toMatchObject({ state: "completed", result: { text: "It is sunny" } });
  expect(server.model.calls("forecaster")[0]).toMatchObject({ tools: ["weather"], lastUser: "?" });
});

test("people, services and other organizations have tokens of their own", async () => {
  const { token: guest } = await server.person("guest");
  expect((await server.client(guest).get("/me")).body.user.role).toBe("guest");
  expect((await server.client(await server.service()).get("/me")).body.kind).toBe("service");
  const other = await server.organization();
  expect((await other.client().get("/me")).body.organization.id).toBe(other.id);
  expect((await server.client(null).get("/me")).status).toBe(401);
});
