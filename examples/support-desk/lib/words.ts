/** From text to search terms: lower case, no accents, no filler words, light English stems. */

/** Words of the desk's four languages that say nothing about the matter. */
const filler = new Set(
  `a about after again all also am an and any are as at be because been but by can cannot could did do does
  down for from get gets had has have he hello help her here hi his how i if in into is it its just know like
  me my need no not now of on one or our out please problem she since so some still than thank thanks that
  the their them then there these they this to too up us very want was we were what when where which who why
  will with would you your customer says say
  aber als am auch auf aus bei bitte das dass dem den der des die ein eine einen einer er es fur haben hallo
  hat ich im ist kann man mein mir mit nach nicht noch nur oder schon sich sie sind uber und uns unser unsere
  unseren unserer vom von was wenn wie wir wird zu zum zur
  au aux avec bonjour ce cela ces cette dans de depuis des du elle en est et il je la le les leur mais me mon
  ne nos notre nous on ou par pas plus pour que qui se ses son sont sur un une vous
  al como con del donde el ellos hola las los lo mas mi muy nos nuestra nuestro para pero por se si sin su una uno y`
    .trim()
    .split(/\s+/),
);

/** Spellings that customers use for the same thing. */
const sameAs: Readonly<Record<string, string>> = {
  "e-mail": "email",
  "e-mails": "email",
  mail: "email",
  mails: "email",
  wlan: "wifi",
  "wi-fi": "wifi",
  "2fa": "two-step",
  login: "sign-in",
  "log-in": "sign-in",
  pos: "register",
  cheque: "check",
};

/** Endings are cut where what is left still has `least` letters. The first that fits wins. */
const endings: ReadonlyArray<readonly [ending: string, least: number, instead: string]> = [
  ["ations", 4, "ate"],
  ["ation", 4, "ate"],
  ["nesses", 3, ""],
  ["ness", 3, ""],
  ["ies", 2, "y"],
  ["ied", 2, "y"],
  ["sses", 2, "ss"],
  ["ings", 3, ""],
  ["ing", 3, ""],
  ["edly", 3, ""],
  ["ed", 3, ""],
  ["ly", 3, ""],
  ["es", 3, ""],
  ["s", 3, ""],
];

/**
 * A light stem, good enough that `refunded`, `refunds` and `refund` meet.
 * Not linguistics: an ending goes, then a doubled consonant and a silent e.
 */
export function stem(word: string): string {
  if (word.length < 4 || /\d/.test(word) || word.endsWith("ss")) return word;
  let stemmed = word;
  for (const [ending, least, instead] of endings) {
    if (!word.endsWith(ending) || word.length - ending.length < least) continue;
    stemmed = word.slice(0, word.length - ending.length) + instead;
    break;
  }
  if (/([bdfgmnprt])\1$/.test(stemmed)) stemmed = stemmed.slice(0, -1);
  return stemmed.length > 3 && stemmed.endsWith("e") ? stemmed.slice(0, -1) : stemmed;
}

export type Word = { readonly term: string; readonly start: number; readonly end: number };

/**
 * The terms of a text in order, with their place in it (UTF-16 offsets of `text`).
 *
 * A word with hyphens counts as a whole and in its parts, so `KB-1042`, `E-17` and `sign-in` are found
 * exactly and by their parts.
 */
export function words(text: string): Word[] {
  const found: Word[] = [];
  const add = (raw: string, start: number, end: number) => {
    const plain = fold(raw);
    if (plain.length < 2 && !/\d/.test(plain)) return;
    if (!filler.has(plain)) found.push({ term: stem(sameAs[plain] ?? plain), start, end });
  };
  for (const match of text.matchAll(/[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)*/gu)) {
    const end = match.index + match[0].length;
    add(match[0], match.index, end);
    if (!match[0].includes("-") || fold(match[0]) in sameAs) continue;
    for (const part of match[0].matchAll(/[^-]+/g)) {
      add(part[0], match.index + part.index, match.index + part.index + part[0].length);
    }
  }
  return found;
}

export function terms(text: string): string[] {
  return words(text).map((word) => word.term);
}

function fold(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
