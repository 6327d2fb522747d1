/** What the demo model understands of words. */

const stopWords = new Set(
  (
    "a about after again all also an and any are as ask at be because been before but by can could did do does done " +
    "for from get give had has have hello help her hey hi him his how i if in into is it its just know let like list " +
    "look me my need no not of on one or our out please say see she show so some something tell than thank thanks that " +
    "the their them then there these they thing this those to up us use want was we were what when where which who why " +
    "will with would you your"
  ).split(" "),
);

/** The words of a text in lower case, with inner hyphens, dots and underscores kept. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+(?:[-_.'@/][\p{L}\p{N}]+)*/gu) ?? [];
}

/** At most `count` words that carry meaning, in their order; the text itself when there are none. */
export function keyWords(text: string, count = 6): string {
  const words = wordsOf(text).filter((word) => !stopWords.has(word));
  const some = [...new Set(words)].slice(0, count).join(" ");
  return some === "" ? firstLine(text, 60) : some;
}

/** The first line, cut at a word near `length` characters. */
export function firstLine(text: string, length: number): string {
  const line = (text.trim().split("\n", 1)[0] ?? "").trim();
  if (line.length <= length) return line;
  const cut = line.slice(0, length);
  const space = cut.lastIndexOf(" ");
  return `${space > length / 2 ? cut.slice(0, space) : cut}…`;
}

/** The words of an identifier: `searchTickets`, `search_tickets` and `search-tickets` are the same. */
export function nameWords(name: string): string[] {
  return wordsOf(name.replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll(/[_\-.]/g, " "));
}

/** How many words of `name` the text holds, as a share from 0 to 1; plural and singular are the same. */
export function mentioned(name: string, text: string): number {
  const said = new Set(wordsOf(text).flatMap((word) => [stem(word), ...word.split(/[-_.'@/]/).map(stem)]));
  const words = nameWords(name);
  if (words.length === 0) return 0;
  return words.filter((word) => said.has(stem(word))).length / words.length;
}

function stem(word: string): string {
  return word.length > 3 ? word.replace(/(?:ies|es|s|e)$/, "") : word;
}
