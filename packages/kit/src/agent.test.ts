import { describe, expect, test } from "vitest";
import { defineAgent } from "./agent.ts";

describe("an agent in a file", () => {
  test("is what was defined, with a mark that tells it from other default exports", () => {
    const definition = { name: "Support", instructions: "Be kind.", tools: ["search_tickets"] };
    expect(defineAgent(definition)).toEqual({ kind: "agent", definition });
  });

  test("names tools alone or with their approval, and nothing it could not have", () => {
    defineAgent({ name: "Support", tools: ["search", { name: "refund", approval: "always" }], access_mode: "invited" });
    // @ts-expect-error an agent has a name
    defineAgent({ instructions: "Be kind." });
    // @ts-expect-error an approval policy is never or always
    defineAgent({ name: "Support", tools: [{ name: "refund", approval: "sometimes" }] });
    // @ts-expect-error a misspelled field does not pass
    defineAgent({ name: "Support", instruction: "Be kind." });
  });
});
