/**
 * How deep JSON from outside may be nested. What looks through it or prints it calls itself once a level, here and in
 * the database: some thousand levels exhaust the stack of either.
 */

/** Levels of lists and objects. */
export const MAX_JSON_DEPTH = 200;

const [QUOTE, BACKSLASH, BRACKET, BRACE] = [0x22, 0x5c, 0x5b, 0x7b];

/** Whether JSON text opens more than `MAX_JSON_DEPTH` lists and objects at once. The text need not be valid. */
export function isDeepJson(text: string): boolean {
  if (text.length <= MAX_JSON_DEPTH) return false;
  let depth = 0;
  let isText = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isText) {
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) isText = false;
    } else if (code === QUOTE) isText = true;
    else if (code === BRACKET || code === BRACE) {
      if (++depth > MAX_JSON_DEPTH) return true;
    } else if (code === BRACKET + 2 || code === BRACE + 2) depth--;
  }
  return false;
}
