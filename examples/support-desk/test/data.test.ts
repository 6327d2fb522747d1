import { describe, expect, test } from "vitest";
import { articles, findArticle, findTicket, tickets } from "../lib/desk.ts";
import { categories, priorities, products, teams } from "../lib/products.ts";

const wordCount = (text: string) => text.split(/\s+/).length;

describe("articles", () => {
  test("there are about eighty, with ids of their own", () => {
    expect(articles.length).toBeGreaterThanOrEqual(75);
    expect(new Set(articles.map(({ id }) => id)).size).toBe(articles.length);
    expect(new Set(articles.map(({ title }) => title)).size).toBe(articles.length);
    expect(new Set(articles.map(({ body }) => body)).size).toBe(articles.length);
  });

  test("each has between 120 and 250 words", () => {
    for (const { id, body } of articles) {
      expect(wordCount(body), id).toBeGreaterThanOrEqual(120);
      expect(wordCount(body), id).toBeLessThanOrEqual(250);
    }
  });

  test("every product has ten or more, every team one or more", () => {
    for (const product of products) {
      expect(articles.filter((one) => one.product === product).length, product).toBeGreaterThanOrEqual(10);
    }
    expect(new Set(articles.map(({ team }) => team))).toEqual(new Set(teams));
  });

  test("an article that another one mentions exists", () => {
    for (const { body } of articles) for (const [id] of body.matchAll(/KB-\d{4}/g)) expect(findArticle(id).id).toBe(id);
  });
});

describe("tickets", () => {
  test("there are about three hundred, with ids and texts of their own", () => {
    expect(tickets.length).toBeGreaterThanOrEqual(290);
    expect(new Set(tickets.map(({ id }) => id)).size).toBe(tickets.length);
    expect(new Set(tickets.map(({ body }) => body)).size).toBe(tickets.length);
  });

  test("related articles exist and there is at least one", () => {
    for (const ticket of tickets) {
      expect(ticket.related_article_ids.length, ticket.id).toBeGreaterThan(0);
      for (const id of ticket.related_article_ids) expect(findArticle(id).id).toBe(id);
    }
  });

  test("every product, category, priority, status and language occurs", () => {
    const seen = (pick: (ticket: (typeof tickets)[number]) => string) => new Set(tickets.map(pick));
    expect(seen((one) => one.product)).toEqual(new Set(products));
    expect(seen((one) => one.category)).toEqual(new Set(categories));
    expect(seen((one) => one.priority)).toEqual(new Set(priorities));
    expect(seen((one) => one.status)).toEqual(new Set(["open", "pending", "solved", "closed"]));
    expect(seen((one) => one.language)).toEqual(new Set(["en", "de", "fr", "es"]));
  });

  test("lengths vary between a line and several paragraphs", () => {
    const lengths = tickets.map(({ body }) => body.length).toSorted((a, b) => a - b);
    expect(lengths[0]).toBeLessThan(80);
    expect(lengths.at(-1)).toBeGreaterThan(320);
    expect(new Set(lengths).size).toBeGreaterThan(150);
  });

  test("what is solved has a resolution, what is open has none", () => {
    for (const { id, status, resolution } of tickets) {
      expect(resolution === null, id).toBe(status === "open" || status === "pending");
    }
  });

  test("ids follow the order of arrival", () => {
    const times = tickets.map((one) => one.created_at);
    expect(times).toEqual(times.toSorted());
    expect(tickets.map((one) => one.id)).toEqual(tickets.map((one) => one.id).toSorted());
  });

  test("an unknown id is refused with a way to go on", () => {
    expect(() => findTicket("T-99999")).toThrow("there is no ticket T-99999; search_tickets lists");
    expect(() => findArticle("KB-9999")).toThrow("there is no article KB-9999; search_articles lists");
  });
});

test("e-mail addresses are made up", () => {
  const text = JSON.stringify({ articles, tickets });
  for (const [, domain] of text.matchAll(/[\w.+-]+@([\w.-]+\w)/g)) expect(domain).toMatch(/^example\.(com|org)$/);
});
