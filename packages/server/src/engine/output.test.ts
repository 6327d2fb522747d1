import { describe, expect, test } from "vitest";
import { checkOutput } from "./output.ts";

const schema = {
  type: "object",
  properties: { verdict: { enum: ["yes", "no"] }, reasons: { type: "array", items: { type: "string" } } },
  required: ["verdict"],
  additionalProperties: false,
} as const;
const good = { verdict: "yes", reasons: ["clear"] };

describe("an answer that must fit a schema", () => {
  test.each([
    ["plain JSON", JSON.stringify(good)],
    ["JSON over lines", JSON.stringify(good, null, 2)],
    ["JSON in a code fence", `\`\`\`json\n${JSON.stringify(good)}\n\`\`\``],
    ["JSON in a fence without a name, with space around", `\n \`\`\`\n${JSON.stringify(good, null, 2)}\n\`\`\` \n`],
  ])("is read from %s", (_, text) => {
    expect(checkOutput(schema, text)).toEqual({ ok: true, output: good });
  });

  test.each([
    ["words", "Yes, of course!", /is not JSON/],
    ["nothing", "", /is not JSON/],
    ["JSON with words around it", `Here: ${JSON.stringify(good)}`, /is not JSON/],
    ["nested without end", '{"a":'.repeat(100_000), /deeper than 200 levels/],
    ["a missing field", "{}", /verdict/],
    ["a wrong value", '{"verdict":"maybe"}', /verdict/],
    ["a field too many", '{"verdict":"no","mood":"good"}', /mood|additional/],
  ])("is refused when it is %s, with what is wrong", (_, text, problem) => {
    expect(checkOutput(schema, text)).toEqual({ ok: false, problem: expect.stringMatching(problem) });
  });
});
