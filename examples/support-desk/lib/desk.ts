/**
 * The desk's records: help-centre articles and past tickets, read from `data/` once per process.
 *
 * Both files are checked when they are read, so a slip in an edited file is reported with its path
 * at start instead of turning up in an answer.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { categories, priorities, products, teams } from "./products.ts";
import { createIndex } from "./search.ts";

export const articleId = z.string().regex(/^KB-\d{4}$/, "expected an article id like KB-1042");
export const ticketId = z.string().regex(/^T-\d{5}$/, "expected a ticket id like T-20417");

export const article = z.strictObject({
  id: articleId,
  title: z.string().min(1),
  product: z.enum(products),
  team: z.enum(teams),
  tags: z.array(z.string()),
  /** Markdown. */
  body: z.string().min(1),
});
export type Article = z.infer<typeof article>;

export const ticket = z.strictObject({
  id: ticketId,
  subject: z.string().min(1),
  /** The customer's own words, in the language of `language`. */
  body: z.string().min(1),
  product: z.enum(products),
  category: z.enum(categories),
  priority: z.enum(priorities),
  status: z.enum(["open", "pending", "solved", "closed"]),
  language: z.enum(["en", "de", "fr", "es"]),
  /** What solved it, in English; null while the ticket is open or pending. */
  resolution: z.string().min(1).nullable(),
  created_at: z.iso.datetime(),
  related_article_ids: z.array(articleId),
});
export type Ticket = z.infer<typeof ticket>;

function read<T>(name: string, schema: z.ZodType<T>): T {
  return schema.parse(JSON.parse(readFileSync(new URL(`../data/${name}`, import.meta.url), "utf8")));
}

export const articles: readonly Article[] = read("articles.json", z.array(article));
export const tickets: readonly Ticket[] = read("tickets.json", z.array(ticket));

const articleById = new Map(articles.map((one) => [one.id, one]));
const ticketById = new Map(tickets.map((one) => [one.id, one]));

/** @throws when there is no such article; the message tells a model how to find one */
export function findArticle(id: string): Article {
  const found = articleById.get(id);
  if (found === undefined) throw new Error(`there is no article ${id}; search_articles lists the ids that exist`);
  return found;
}

/** @throws when there is no such ticket; the message tells a model how to find one */
export function findTicket(id: string): Ticket {
  const found = ticketById.get(id);
  if (found === undefined) throw new Error(`there is no ticket ${id}; search_tickets lists the ids that exist`);
  return found;
}

/** Titles and tags name the matter, so they weigh more than the text. */
export const articleIndex = createIndex(articles, {
  fields: [
    { text: (one) => one.title, weight: 3 },
    { text: (one) => one.tags.join(" "), weight: 2 },
    { text: (one) => `${one.id} ${one.product}`, weight: 1 },
    { text: (one) => one.body, weight: 1 },
  ],
  snippet: (one) => one.body,
});

function articleKeyWords(id: string): string {
  const { title, tags } = findArticle(id);
  return `${title} ${tags.join(" ")}`;
}

export const ticketIndex = createIndex(tickets, {
  fields: [
    { text: (one) => one.subject, weight: 2 },
    { text: (one) => `${one.id} ${one.product} ${one.category}`, weight: 1 },
    { text: (one) => one.body, weight: 1 },
    { text: (one) => one.resolution ?? "", weight: 1 },
    // The articles' English key words also find tickets in other languages and in odd wordings.
    { text: (one) => one.related_article_ids.map(articleKeyWords).join(" "), weight: 0.5 },
  ],
  snippet: (one) => one.body,
});
