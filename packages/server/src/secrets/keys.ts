/**
 * Secrets at rest: envelope encryption, AES-256-GCM twice.
 *
 *   text ── a data key of its own ──▶ data        data key ── the server's key ──▶ data_key
 *
 * S1: the row's identity is authenticated with both, so a sealed secret that is copied to another row, or another
 *     organization, does not open there.
 * S2: changing the server's key wraps data keys anew and never sees a text.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

const KEY_BYTES = 32;
/** Source: NIST SP 800-38D, 5.2.1.1: 96 bits is the length GCM is made for. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Byte strings in base64. */
type Box = { iv: string; tag: string; data: string };

/**
 * What the database keeps. `key_id` names the server's key and tells nothing of it. Without `data_key` the text is
 * under the server's key itself, as earlier versions sealed it.
 */
export type SealedSecret = { key_id: string; data_key?: Box } & Box;

type Key = { readonly id: string; readonly bytes: Buffer };

/** A secret that this server's keys do not open. The message holds neither text nor key. */
export class SecretError extends Error {
  readonly code = "secret";
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

  /** Names of the keys, the one that seals first. */
  get ids(): readonly string[] {
    return this.#keys.map(({ id }) => id);
  }

  /** @param rowIdentity names the row the secret belongs to, like `model_connections/<organization>/<id>` */
  seal(plain: string, rowIdentity: string): SealedSecret {
    const [key] = this.#keys;
    const dataKey = randomBytes(KEY_BYTES);
    return {
      key_id: key.id,
      data_key: close(key.bytes, dataKey, wrapping(rowIdentity)),
      ...close(dataKey, Buffer.from(plain), rowIdentity),
    };
  }

  /** @throws SecretError when the key is not here, the row is another one, or a byte was changed */
  open(sealed: SealedSecret, rowIdentity: string): string {
    const key = this.#keyOf(sealed);
    const dataKey =
      sealed.data_key === undefined ? key.bytes : openBox(key.bytes, sealed.data_key, wrapping(rowIdentity));
    return openBox(dataKey, sealed, rowIdentity).toString("utf8");
  }

  /** The same secret under the key that seals; the text stays closed unless an earlier version sealed it. @throws SecretError */
  rewrap(sealed: SealedSecret, rowIdentity: string): SealedSecret {
    if (sealed.data_key === undefined) return this.seal(this.open(sealed, rowIdentity), rowIdentity);
    const dataKey = openBox(this.#keyOf(sealed).bytes, sealed.data_key, wrapping(rowIdentity));
    const [key] = this.#keys;
    return { ...sealed, key_id: key.id, data_key: close(key.bytes, dataKey, wrapping(rowIdentity)) };
  }

  /**
   * For each key, the one that seals first, 32 bytes of which nothing leads back to it.
   *
   * @param purpose gives other bytes for each text. Source: RFC 5869, 3.2
   */
  derive(purpose: string): Buffer[] {
    return this.#keys.map(({ bytes }) => Buffer.from(hkdfSync("sha256", bytes, Buffer.alloc(0), purpose, KEY_BYTES)));
  }

  #keyOf(sealed: SealedSecret): Key {
    const key = this.#keys.find(({ id }) => id === sealed.key_id);
    if (key === undefined) throw new SecretError("the secret was sealed with a key this server does not have");
    return key;
  }
}

/** A data key is bound to its row too, and is no text of that row. */
const wrapping = (rowIdentity: string): string => `data_key/${rowIdentity}`;

function close(key: Buffer, plain: Buffer, identity: string): Box {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(identity));
  const data = Buffer.concat([cipher.update(plain), cipher.final()]);
  return {
    iv: iv.toString("base64"),
    tag: cipher.getAuthTag().toString("base64"),
    data: data.toString("base64"),
  };
}

function openBox(key: Buffer, { iv, tag, data }: Box, identity: string): Buffer {
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "base64"), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(identity));
    decipher.setAuthTag(Buffer.from(tag, "base64"));
    return Buffer.concat([decipher.update(Buffer.from(data, "base64")), decipher.final()]);
  } catch (cause) {
    throw new SecretError("the secret does not open: it was changed, or belongs to another row", { cause });
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
