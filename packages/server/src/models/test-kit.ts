/** What the tests of all providers share. */
import { expect } from "vitest";
import { type Model, type ModelEnd, ModelError, type ModelPart, type ModelRequest } from "./model.ts";

export const limits = { allowPrivateNetwork: true, idleTimeoutMs: 5000, maxResponseBytes: 1_000_000 };

export const request: ModelRequest = {
  modelId: "test-model",
  system: "Be brief.",
  messages: [{ role: "user", content: [{ type: "text", text: "Hello" }] }],
  tools: [],
};

export const searchTool = {
  name: "search",
  description: "Searches.",
  inputSchema: { type: "object", properties: { q: { type: "string" } }, required: ["q"], additionalProperties: false },
};

export type Outcome = { parts: ModelPart[]; end: ModelEnd };

export async function run(model: Model, more: Partial<ModelRequest> = {}, signal = new AbortController().signal) {
  const parts: ModelPart[] = [];
  const end = await model.stream({ ...request, ...more }, { signal, onPart: (part) => parts.push(part) });
  return { parts, end } satisfies Outcome;
}

export const textOf = (parts: readonly ModelPart[], type: "text" | "thinking" = "text") =>
  parts.map((part) => (part.type === type ? part.text : "")).join("");

/** Until a connection whose answer has been read is free again: after any time, sockets are looked at once a turn. */
export async function settled(): Promise<void> {
  await new Promise((done) => setTimeout(done, 10));
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

/** The ModelError that the work ends with. */
export async function failureOf(work: Promise<unknown>): Promise<ModelError> {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(ModelError);
  return error as ModelError;
}
