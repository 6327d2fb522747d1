/**
 * Passwords as Argon2id hashes.
 *
 * Hashing takes 20 to 60 ms of a core and 19 MiB: it runs on the thread pool, a few at a time, and refuses rather than
 * queues for long. An account that is not there costs the same as one that is.
 */

import { CallboardError } from "@callboard/protocol";
import { randomDigits } from "../access/index.ts";

/** Source: OWASP Password Storage Cheat Sheet, Argon2id: 19 MiB, two passes, one lane. */
export const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** Read when the first password comes. */
const argon2 = () => import("@node-rs/argon2");
/** Of the four threads that also read files and look up names. */
const AT_ONCE = 2;
const WAITING = 64;

export class Passwords {
  #running = 0;
  readonly #waiting: Array<() => void> = [];
  #decoy: Promise<string> | undefined;

  /** The PHC string of a password. @throws unavailable when too many wait */
  hash(password: string): Promise<string> {
    return this.#turn(async () => (await argon2()).hash(normal(password), parameters));
  }

  /**
   * Whether the password is the hashed one.
   *
   * @param known null for an account without a password or no account: the same work, and never true
   * @throws unavailable when too many wait
   */
  async verify(known: string | null, password: string): Promise<boolean> {
    this.#decoy ??= argon2().then(({ hash }) => hash(randomDigits(), parameters));
    const against = known ?? (await this.#decoy);
    const fits = await this.#turn(async () => (await argon2()).verify(against, normal(password)));
    return fits && known !== null;
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_ONCE) {
      if (this.#waiting.length >= WAITING) {
        throw new CallboardError("unavailable", "too many passwords are being checked", { retry_after_ms: 2000 });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await work();
    } finally {
      // The place is handed on, so `running` stays as it is when somebody waits.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** Whether a hash was made with other parameters than today's. */
export function isOutdated(phc: string): boolean {
  const { memoryCost, timeCost, parallelism } = parameters;
  return !phc.startsWith(`$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$`);
}

/** The same text typed on another keyboard is the same password. Source: NIST SP 800-63B, 5.1.1.2. */
const normal = (password: string): string => password.normalize("NFKC");
