import { expect, test } from "vitest";
import { docsPage } from "./docs-page.ts";
import { openApi } from "./openapi.ts";

const page = (responses: object) =>
  docsPage({
    ...openApi([]),
    tags: [{ name: "endpoints" }],
    paths: {
      "/endpoints/ask": {
        post: {
          operationId: "endpoints.ask",
          summary: "Ask.",
          tags: ["endpoints"],
          parameters: [],
          responses,
        } as never,
      },
    },
  });
const json = (schema: object) => ({ content: { "application/json": { schema } } });

test("an endpoint shows what it answers, now or as a job's result, and escapes it", () => {
  const schema = { properties: { answer: { description: "<b>" } } };
  const now = page({ 200: { description: "The answer.", ...json(schema) } });
  expect(now).toContain("&quot;answer&quot;");
  expect(now).toContain("&lt;b&gt;");
  const job = {
    ...json({ $ref: "#/components/schemas/JobAccepted" }),
    "x-job-result": { description: "Later.", schema },
  };
  const later = page({ 202: { description: "A job.", ...job } });
  expect(later).toContain('<a href="#schema-JobAccepted">JobAccepted</a><p>Later.</p><pre>');
  expect(later).toContain("&quot;answer&quot;");
});
