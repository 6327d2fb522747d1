/** Conditional changes: what a caller saw when it decided, against what is there. Source: RFC 9110, 13.1.1. */
import { CallboardError } from "@callboard/protocol";

/**
 * @param thing names it for the refusal
 * @param ifMatch the request's `If-Match`; without one any revision will do
 * @throws precondition_failed
 */
export function requireSeen(thing: string, revision: string, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch.trim() === "*") return;
  const seen = ifMatch.split(",").map((tag) => tag.trim());
  if (seen.includes(`"${revision}"`)) return;
  throw new CallboardError(
    "precondition_failed",
    `${thing} has changed: its revision is "${revision}", expected ${ifMatch}`,
  );
}
