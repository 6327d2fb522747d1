/**
 * Secrets at rest: AES-256-GCM under the server's own keys.
 *
 * The row's identity is authenticated with the text, so a sealed secret that is copied to another row,
 * or another organization, does not open there.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

const KEY_BYTES = 32;
/** Source: NIST SP 800-38D, 5.2.1.1: 96 bits is the length GCM is made for. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** What the database keeps; the three byte strings in base64. `key_id` names the key and tells nothing of it. */
export type SealedSecret = { key_id: string; iv: string; tag: string; data: string };

type Key = { readonly id: string; readonly bytes: Buffer };

/** A secret that this server's keys do not open. The message holds neither text nor key. */
export class SecretError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "SecretError";
  }
}

/** The server's keys: the first one seals, all of them open, so a key is changed by putting a new one in front. */
export class SecretKeys {
  readonly #keys: readonly [Key, ...Key[]];

  private constructor(keys: readonly [Key, ...Key[]]) {
    this.#keys = keys;
  }

  /**
   * Reads `CALLBOARD_SECRET_KEY`: one or more keys of 32 bytes in base64 or hex, separated by commas.
   *
   * @throws SecretError that says which key is wrong and never what it was
   */
  static parse(text: string): SecretKeys {
    const keys = text.split(",").map((part, i) => toKey(part.trim(), i + 1));
    return new SecretKeys(keys as [Key, ...Key[]]); // split gives at least one part
  }

  /** A fresh key in the form `parse` reads. */
  static generate(): string {
    return randomBytes(KEY_BYTES).toString("base64");
  }

  /** @param rowIdentity names the row the secret belongs to, like `model_connections/<organization>/<id>` */
  seal(plain: string, rowIdentity: string): SealedSecret {
    const [key] = this.#keys;
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", key.bytes, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(rowIdentity));
    const data = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
    return {
      key_id: key.id,
      iv: iv.toString("base64"),
      tag: cipher.getAuthTag().toString("base64"),
      data: data.toString("base64"),
    };
  }

  /** @throws SecretError when the key is not here, the row is another one, or a byte was changed */
  open(sealed: SealedSecret, rowIdentity: string): string {
    const key = this.#keys.find(({ id }) => id === sealed.key_id);
    if (key === undefined) throw new SecretError("the secret was sealed with a key this server does not have");
    try {
      const iv = Buffer.from(sealed.iv, "base64");
      const decipher = createDecipheriv("aes-256-gcm", key.bytes, iv, { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(rowIdentity));
      decipher.setAuthTag(Buffer.from(sealed.tag, "base64"));
      return Buffer.concat([decipher.update(Buffer.from(sealed.data, "base64")), decipher.final()]).toString("utf8");
    } catch (cause) {
      throw new SecretError("the secret does not open: it was changed, or belongs to another row", { cause });
    }
  }
}

function toKey(text: string, number: number): Key {
  const isHex = /^[0-9a-f]{64}$/i.test(text);
  const isBase64 = /^[A-Za-z0-9+/_-]{43}=?$/.test(text);
  const bytes = Buffer.from(text, isHex ? "hex" : "base64");
  if (!(isHex || isBase64) || bytes.length !== KEY_BYTES) {
    throw new SecretError(`key ${number} of CALLBOARD_SECRET_KEY is not 32 bytes in base64 or hex`);
  }
  return { id: createHash("sha256").update(bytes).digest("hex").slice(0, 8), bytes };
}
