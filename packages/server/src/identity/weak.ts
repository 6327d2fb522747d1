/** Passwords that are guessed first. Length is what counts; this only takes the worst ones out. */
import { CallboardError, PASSWORD_LENGTH } from "@callboard/protocol";

/** Common ones of twelve characters and more, and words that are only stretched by repeating or counting. */
const common = new Set(
  `passwordpassword password1234 password12345 password123456 mypassword123 changemenow12 letmeinletmein
   qwertyuiop12 qwertyuiop123 qwertyqwerty qwertyuiopasdfgh 1q2w3e4r5t6y 1qaz2wsx3edc adminadmin12 administrator
   administrator1 iloveyou1234 welcome12345 welcomewelcome trustno1trustno1 correcthorsebatterystaple
   123456789012 1234567890123 12345678901234 123412341234 123123123123 abcdefghijkl abcdefghijklm abc123abc123
   callboardcallboard callboard1234 callboard12345`.split(/\s+/),
);
const MIN_DISTINCT = 5;

/**
 * @param about what the person is known by: address and name
 * @throws weak_password
 */
export function requireStrong(password: string, about: readonly string[]): void {
  const lower = password.normalize("NFKC").toLowerCase();
  const weak = (why: string) => new CallboardError("weak_password", `the password ${why}; choose another one`);
  const { min, max } = PASSWORD_LENGTH;
  if (password.length < min) throw weak(`has fewer than ${min} characters`);
  if (password.length > max) throw weak(`has more than ${max} characters`);
  if (common.has(lower)) throw weak("is one of the first that are tried");
  if (new Set(lower).size < MIN_DISTINCT) throw weak(`has fewer than ${MIN_DISTINCT} different characters`);
  if (about.some((word) => word.length > 0 && lower === word.toLowerCase())) throw weak("is the person's own name");
}
