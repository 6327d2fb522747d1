import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { ticketIndex } from "../lib/desk.ts";
import { categories, priorities, productChoices, products } from "../lib/products.ts";

const input = z.strictObject({
  query: z
    .string()
    .trim()
    .min(1)
    .max(400)
    .describe(
      'Key words of the problem in the customer\'s language, such as "card reader no connection". Error codes help.',
    ),
  product: z.enum(productChoices).default("any").describe("Only tickets about this product; any leaves none out."),
  limit: z.int().min(1).max(10).default(5).describe("At most this many tickets."),
});

const output = z.strictObject({
  total: z.int().describe("How many tickets held a word of the query."),
  tickets: z.array(
    z.strictObject({
      id: z.string(),
      subject: z.string(),
      product: z.enum(products),
      category: z.enum(categories),
      priority: z.enum(priorities),
      status: z.string(),
      snippet: z.string().describe("The part of the customer's message that fits best."),
      resolution: z.string().nullable().describe("What solved it; null while it is not solved."),
      related_article_ids: z.array(z.string()),
      score: z.number(),
    }),
  ),
});

export default defineTool({
  description:
    "Finds earlier support tickets that resemble a problem, best first, with their category, priority and what solved them.",
  input,
  output,
  effect: "read",
  public: { input: true, output: true },
  run({ query, product, limit }) {
    const { hits, total } = ticketIndex.search(query, {
      limit,
      where: (ticket) => product === "any" || ticket.product === product,
    });
    return {
      total,
      tickets: hits.map(({ item, snippet, score }) => ({
        id: item.id,
        subject: item.subject,
        product: item.product,
        category: item.category,
        priority: item.priority,
        status: item.status,
        snippet,
        resolution: item.resolution,
        related_article_ids: item.related_article_ids,
        score,
      })),
    };
  },
});
