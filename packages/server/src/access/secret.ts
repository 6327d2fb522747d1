/**
 * The text of a secret: a prefix that says what it opens, 43 random characters, 6 of checksum.
 *
 *   cbp_ personal token   cbs_ service token   cbn_ session   cbi_ invitation   cbl_ link to set a password
 *
 * 43 characters of 62 hold 256 bits. The checksum (CRC-32 of what stands before it, in base 62) lets
 * the server refuse garbage without asking the database, and lets secret scanners be sure of a find.
 */
import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH = 43;
const SHAPE = /^cb[psnil]_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$/;
const CHECKSUM_LENGTH = 6;
/** Characters of the secret that are kept in the clear, to recognise it. */
const SHOWN_LENGTH = 10;

const prefixes = {
  personal: "cbp_",
  service: "cbs_",
  session: "cbn_",
  invitation: "cbi_",
  passwordLink: "cbl_",
} as const;
export type SecretKind = keyof typeof prefixes;
export type TokenKind = "personal" | "service";

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = "";
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = DIGITS[rest % 62] + digits;
    rest = Math.floor(rest / 62);
  }
  return digits;
}

/** Random text of digits and letters: 43 characters hold 256 bits. */
export function randomDigits(length: number = RANDOM_LENGTH): string {
  let text = "";
  while (text.length < length) {
    // 248 = 4 × 62: higher bytes would make the first digits likelier.
    for (const byte of randomBytes(64)) {
      if (byte < 248 && text.length < length) text += DIGITS[byte % 62];
    }
  }
  return text;
}

/** A new secret. It exists in the answer that carries it and nowhere else. */
export function newSecret(kind: SecretKind): string {
  const text = prefixes[kind] + randomDigits();
  return text + checksum(text);
}

/** Whether a text can be a secret of ours that opens one of these: prefix, shape and checksum are right. */
export function isSecret(text: string, ...kinds: readonly SecretKind[]): boolean {
  if (!SHAPE.test(text) || !kinds.some((kind) => text.startsWith(prefixes[kind]))) return false;
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

/** SHA-256 of a secret in base64: what the database and the cache know it by. */
export const secretHash = (secret: string): string => hash("sha256", secret, "base64");
/** The same as bytes, for a `bytea` column. */
export const secretDigest = (secret: string): Buffer => hash("sha256", secret, "buffer");

export const shownPrefix = (secret: string): string => secret.slice(0, SHOWN_LENGTH);
