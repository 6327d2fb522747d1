import { defineTool } from "@callboard/kit";
import { z } from "zod";
import { articleIndex } from "../lib/desk.ts";
import { productChoices, products } from "../lib/products.ts";

const input = z.strictObject({
  query: z
    .string()
    .trim()
    .min(1)
    .max(400)
    .describe('Key words in English, such as "void or refund a card payment". The articles are written in English.'),
  product: z.enum(productChoices).default("any").describe("Only articles about this product; any leaves none out."),
  limit: z.int().min(1).max(10).default(5).describe("At most this many articles."),
});

const output = z.strictObject({
  total: z.int().describe("How many articles held a word of the query."),
  articles: z.array(
    z.strictObject({
      id: z.string(),
      title: z.string(),
      product: z.enum(products),
      tags: z.array(z.string()),
      snippet: z.string().describe("The part of the article that fits best; get_article has all of it."),
      score: z.number(),
    }),
  ),
});

export default defineTool({
  description: "Finds help-centre articles about a question, best first. Read the whole text with get_article.",
  input,
  output,
  effect: "read",
  public: { input: true, output: true },
  run({ query, product, limit }) {
    const { hits, total } = articleIndex.search(query, {
      limit,
      where: (article) => product === "any" || article.product === product,
    });
    return {
      total,
      articles: hits.map(({ item, snippet, score }) => ({
        id: item.id,
        title: item.title,
        product: item.product,
        tags: item.tags,
        snippet,
        score,
      })),
    };
  },
});
