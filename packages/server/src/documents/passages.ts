/**
 * A text in passages: pieces that a search finds and a citation names.
 *
 * P1  They follow each other without a gap: joined they are the text.
 * P2  None is longer than `MAX_PASSAGE`; one ends at a heading, else at a paragraph, a line, a sentence, a word.
 * P3  No character is cut in two.
 */

/** Characters, UTF-16 code units: some 250 words, which is what a reader of a citation looks through. */
export const MAX_PASSAGE = 1600;
/** Shorter ones are joined with what follows. */
const MIN_PASSAGE = 400;

export type Passage = { readonly number: number; readonly start: number; readonly end: number; readonly text: string };

/** From the best place to end to the worst; each match ends where a passage may. */
const ends = [/\n+(?=#{1,6} )/g, /\n\s*\n/g, /\n/g, /[.!?…。！？]["'”’)\]]*\s+/g, /\s+/g];

export function toPassages(text: string): Passage[] {
  const passages: Passage[] = [];
  for (let start = 0; start < text.length; ) {
    const end = endOf(text, start);
    passages.push({ number: passages.length + 1, start, end, text: text.slice(start, end) });
    start = end;
  }
  return passages;
}

function endOf(text: string, start: number): number {
  const window = text.slice(start, start + MAX_PASSAGE);
  const [headings, ...others] = ends as [RegExp, ...RegExp[]];
  // A heading begins a passage also where the one before could be longer.
  const heading = find(window, headings, "first");
  if (heading !== undefined) return start + heading;
  if (start + window.length === text.length) return text.length;
  for (const pattern of others) {
    const found = find(window, pattern, "last");
    if (found !== undefined) return start + found;
  }
  const last = text.charCodeAt(start + window.length - 1);
  const splitsPair = last >= 0xd800 && last <= 0xdbff;
  return start + window.length - (splitsPair ? 1 : 0);
}

/** The end of the first or the last match that leaves a passage of some length. */
function find(window: string, pattern: RegExp, which: "first" | "last"): number | undefined {
  let found: number | undefined;
  for (const match of window.matchAll(pattern)) {
    const end = match.index + match[0].length;
    if (end < MIN_PASSAGE) continue;
    found = end;
    if (which === "first") return found;
  }
  return found;
}
