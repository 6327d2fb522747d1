/**
 * The server under test: the one at CALLBOARD_URL with CALLBOARD_TOKEN (an owner's, with every scope), or one
 * started here.
 *
 * The tests bring their own model, so that they know what it says: a server at CALLBOARD_URL must run on this
 * machine with CALLBOARD_ALLOW_PRIVATE_NETWORK=1. They leave a model connection, agents and threads behind.
 */
import { randomBytes } from "node:crypto";
import type { AgentConfigInput } from "@callboard/protocol";
import { expect } from "vitest";
import { type Answer, HttpClient } from "../../../packages/server/src/testing/http-client.ts";
import {
  type ModelCall,
  type ModelScript,
  type ScriptedModel,
  startScriptedModel,
} from "../../../packages/server/src/testing/scripted-model.ts";
import { startTestServer } from "../../../packages/server/src/testing/server.ts";
import { Contract, type Document } from "./contract.ts";

/** A published agent with a model of its own. */
export type TestAgent = {
  id: string;
  slug: string;
  /** Below `/api/v1`. */
  path: string;
  script(script: ModelScript): void;
  calls(): readonly ModelCall[];
};

export type Target = {
  contract: Contract;
  /** With the given token; holds every answer against the contract. */
  client: HttpClient;
  model: ScriptedModel;
  /** Slug of the model connection that leads to the scripted model. */
  connection: string;
  /** Publishes an agent. */
  agent(script: ModelScript, config?: Partial<AgentConfigInput>): Promise<TestAgent>;
  stop(): Promise<void>;
};

export const unique = (word: string): string => `${word}-${randomBytes(5).toString("hex")}`;

/** The body of an answer that was expected to succeed. */
export function ok(answer: Answer, status = 200): Answer["body"] {
  expect(`${answer.status} ${answer.status === status ? "" : answer.text}`.trim()).toBe(String(status));
  return answer.body;
}

/** Status and code of a refusal, like `404 not_found`. */
export const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code ?? "accepted"}`;

export async function openTarget(): Promise<Target> {
  const { baseUrl, token, model, stop } = await reach();
  const document = (await (await fetch(`${baseUrl}/api/v1/openapi.json`)).json()) as Document;
  const contract = new Contract(document);
  const client = new HttpClient(baseUrl, { token, onAnswer: (answer) => contract.check(answer) });
  const connection = unique("conformance");
  ok(
    await client.post("/model-connections", {
      slug: connection,
      kind: "openai-compatible",
      base_url: model.baseUrl,
      default_model: "echo",
    }),
    201,
  );

  return {
    contract,
    client,
    model,
    connection,
    async agent(script, config = {}) {
      const slug = unique("agent");
      const draft = { name: slug, ...config, model: { connection, id: slug, ...config.model } };
      const { id } = ok(await client.post("/agents", { slug, draft }), 201);
      ok(await client.post(`/agents/${id}/publish`), 201);
      model.script(slug, script);
      return {
        id,
        slug,
        path: `/agents/${id}`,
        script: (next) => model.script(slug, next),
        calls: () => model.calls(slug),
      };
    },
    stop,
  };
}

async function reach(): Promise<{ baseUrl: string; token: string; model: ScriptedModel; stop(): Promise<void> }> {
  const { CALLBOARD_URL: url, CALLBOARD_TOKEN: token } = process.env;
  if (url === undefined || token === undefined) return startTestServer();
  const model = await startScriptedModel();
  return { baseUrl: url.replace(/\/+$/, ""), token, model, stop: () => model.stop() };
}
