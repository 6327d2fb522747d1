/**
 * Full-text search in memory.
 *
 * Ranking is BM25 over the weighted counts of all fields (Robertson and Zaragoza, "The Probabilistic
 * Relevance Framework: BM25 and Beyond", 2009; k1 = 1.2, b = 0.6). A few hundred short texts are searched
 * in well under a millisecond, so nothing is cached.
 */
import { terms, words } from "./words.ts";

const K1 = 1.2;
const B = 0.6;
const SNIPPET_CHARACTERS = 220;

export type Hit<T> = {
  readonly item: T;
  /** Higher is better; comparable within one search only. */
  readonly score: number;
  /** The part of the text with most of the query's words, at most about 220 characters, on one line. */
  readonly snippet: string;
};

export type SearchIndex<T> = {
  /**
   * The best items for a query, best first; equal ones in the order in which they were indexed.
   *
   * @param limit at most this many hits; default 5
   * @param where items for which it is false are left out; the ranking of the others is not changed
   * @returns hits, and in `total` how many items held at least one word of the query
   */
  search(query: string, options?: { limit?: number; where?: (item: T) => boolean }): { hits: Hit<T>[]; total: number };
};

export type IndexOptions<T> = {
  /** What is searched; a word counts `weight` times. */
  fields: ReadonlyArray<{ text: (item: T) => string; weight: number }>;
  /** The text that snippets are cut from. */
  snippet: (item: T) => string;
};

export function createIndex<T>(items: readonly T[], { fields, snippet }: IndexOptions<T>): SearchIndex<T> {
  /** term → item number → weighted count */
  const postings = new Map<string, Map<number, number>>();
  const lengths = items.map(() => 0);
  for (const [number, item] of items.entries()) {
    for (const field of fields) {
      for (const term of terms(field.text(item))) {
        let counts = postings.get(term);
        if (counts === undefined) {
          counts = new Map();
          postings.set(term, counts);
        }
        counts.set(number, (counts.get(number) ?? 0) + field.weight);
        lengths[number] = (lengths[number] ?? 0) + field.weight;
      }
    }
  }
  const averageLength = lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, items.length);

  function scores(wanted: ReadonlySet<string>): Map<number, number> {
    const byItem = new Map<number, number>();
    for (const term of wanted) {
      const counts = postings.get(term);
      if (counts === undefined) continue;
      const rarity = Math.log(1 + (items.length - counts.size + 0.5) / (counts.size + 0.5));
      for (const [number, count] of counts) {
        const norm = K1 * (1 - B + (B * (lengths[number] ?? 0)) / averageLength);
        byItem.set(number, (byItem.get(number) ?? 0) + (rarity * count * (K1 + 1)) / (count + norm));
      }
    }
    return byItem;
  }

  return {
    search(query, { limit = 5, where } = {}) {
      const wanted = new Set(terms(query));
      const found: Array<{ number: number; item: T; score: number }> = [];
      for (const [number, score] of scores(wanted)) {
        const item = items[number] as T;
        if (where === undefined || where(item)) found.push({ number, item, score });
      }
      found.sort((a, b) => b.score - a.score || a.number - b.number);
      const hits = found.slice(0, limit).map(({ item, score }) => ({
        item,
        score: Math.round(score * 100) / 100,
        snippet: cutSnippet(snippet(item), wanted),
      }));
      return { hits, total: found.length };
    },
  };
}

/** The stretch of `text` that holds the most different words of `wanted`; its beginning when there are none. */
export function cutSnippet(text: string, wanted: ReadonlySet<string>): string {
  const places = words(text).filter((word) => wanted.has(word.term));
  let start = 0;
  let most = 0;
  for (const [i, first] of places.entries()) {
    const inside = new Set<string>();
    for (const word of places.slice(i)) {
      if (word.end - first.start > SNIPPET_CHARACTERS) break;
      inside.add(word.term);
    }
    if (inside.size > most) {
      most = inside.size;
      start = first.start;
    }
  }
  // A little of what comes before makes the words readable; then cut at spaces on both sides.
  const from = start <= 40 ? 0 : text.indexOf(" ", start - 40) + 1;
  const full = text.length - from <= SNIPPET_CHARACTERS;
  const to = full ? text.length : Math.max(text.lastIndexOf(" ", from + SNIPPET_CHARACTERS), from + 1);
  return `${from > 0 ? "… " : ""}${text.slice(from, to).replace(/\s+/g, " ").trim()}${full ? "" : " …"}`;
}
