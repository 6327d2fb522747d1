/**
 * The text of a token: `cbp_` (personal) or `cbs_` (service), 43 random characters, 6 of checksum.
 *
 * 43 characters of 62 hold 256 bits. The checksum (CRC-32 of what stands before it, in base 62) lets
 * the server refuse garbage without asking the database, and lets secret scanners be sure of a find.
 */
import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH = 43;
const SHAPE = /^cb[ps]_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$/;
const CHECKSUM_LENGTH = 6;
/** Characters of the secret that are kept in the clear, to recognise it. */
const SHOWN_LENGTH = 10;

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

function randomDigits(length: number): string {
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
export function newSecret(kind: TokenKind): string {
  const text = `${kind === "personal" ? "cbp" : "cbs"}_${randomDigits(RANDOM_LENGTH)}`;
  return text + checksum(text);
}

/** Whether a text can be a secret of ours: its shape and its checksum are right. */
export function isSecret(text: string): boolean {
  if (!SHAPE.test(text)) return false;
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

/** SHA-256 of a secret in base64: what the database and the cache know it by. */
export const secretHash = (secret: string): string => hash("sha256", secret, "base64");

export const shownPrefix = (secret: string): string => secret.slice(0, SHOWN_LENGTH);
