import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { articleId, findArticle } from "../lib/desk.ts";

const input = z.strictObject({
  subject: z.string().trim().min(1).max(200).describe("Subject line of the reply."),
  body: z
    .string()
    .trim()
    .min(1)
    .max(8000)
    .describe("The reply to the customer in Markdown, in the customer's language. Without a list of articles."),
  article_ids: z
    .array(articleId)
    .max(5)
    .default([])
    .describe("Articles that the reply rests on. They are listed below it with their titles."),
});

const output = z.strictObject({
  file_id: z.string(),
  name: z.string(),
  size_bytes: z.int(),
  article_ids: z.array(z.string()),
});

/**
 * Writing is safe to repeat: `context.files.write` answers a repetition of the same call with the first file.
 */
export default defineTool({
  description:
    "Writes a suggested reply to the customer as the file reply.md of this thread, for a person to check and send. Sends nothing.",
  input,
  output,
  effect: "idempotent",
  public: { input: true, output: true },
  async run({ subject, body, article_ids }, context) {
    // Before anything is written: a reply must not cite an article that does not exist.
    const sources = [...new Set(article_ids)].map(findArticle);
    const parts = [`# ${subject}`, body];
    if (sources.length > 0) parts.push("---", sources.map(({ id, title }) => `- ${id}: ${title}`).join("\n"));
    const file = await context.files.write({
      name: "reply.md",
      mediaType: "text/markdown",
      bytes: `${parts.join("\n\n")}\n`,
    });
    return {
      file_id: file.id,
      name: file.name,
      size_bytes: file.size_bytes,
      article_ids: sources.map(({ id }) => id),
    };
  },
});
