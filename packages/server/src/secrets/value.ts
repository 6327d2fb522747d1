/**
 * JSON values that are stored encrypted, among others that are not: `{"$sealed": …}` in the place of the value.
 *
 * Whoever writes such a text himself gains nothing: what does not open for its row stays the text it is.
 */
import type { Json } from "@callboard/protocol";
import { type SealedSecret, SecretError, type SecretKeys } from "./keys.ts";

const MARK = "$sealed";

export const sealValue = (keys: SecretKeys, value: Json, rowIdentity: string): Json => ({
  [MARK]: keys.seal(JSON.stringify(value), rowIdentity) as Json,
});

/** The value as it was; any other value, and one that does not open, as it is. */
export function openValue(keys: SecretKeys, value: unknown, rowIdentity: string): unknown {
  if (typeof value !== "object" || value === null || !(MARK in value)) return value;
  const sealed = value[MARK] as Partial<SealedSecret> | null;
  if (typeof sealed?.key_id !== "string" || typeof sealed.data_key !== "object") return value;
  try {
    return JSON.parse(keys.open(sealed as SealedSecret, rowIdentity));
  } catch (error) {
    if (error instanceof SecretError) return value;
    throw error;
  }
}

/** The same in a column of texts. */
export const sealText = (keys: SecretKeys, text: string, rowIdentity: string): string =>
  JSON.stringify(sealValue(keys, text, rowIdentity));

export function openText(keys: SecretKeys, text: string, rowIdentity: string): string {
  if (!text.startsWith(`{"${MARK}":`)) return text;
  try {
    const opened = openValue(keys, JSON.parse(text), rowIdentity);
    return typeof opened === "string" ? opened : text;
  } catch {
    return text; // a tool answered with something that only begins like this
  }
}
