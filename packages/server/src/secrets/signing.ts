/**
 * What the server signs so that others can check it: Ed25519 keys, one from each of the server's own keys.
 *
 * T1: nothing is stored. A key is derived (HKDF), so every process has the same ones, and neither the signing key nor
 *     what it signed tells anything of the server's key.
 * T2: the first key signs, the public halves of all are published: a change of the server's key, made as operators are
 *     told to, never leaves a signature that the published keys do not check.
 * T3: a signature names its type, so that one made for one purpose is of no use for another.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { SecretKeys } from "./keys.ts";

/** Before the 32 bytes of an Ed25519 key. Source: RFC 8410, 7. */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const PURPOSE = "callboard signing ed25519 v1";

/** Source: RFC 8037, 2. */
export type PublicJwk = { kty: "OKP"; crv: "Ed25519"; x: string; kid: string; alg: "EdDSA"; use: "sig" };

export type Signed = {
  /** `typ` of the header. */
  type: string;
  issuer: string;
  audience: string;
  lifeSeconds: number;
  claims: Record<string, unknown>;
};

type SigningKey = { secret: KeyObject; jwk: PublicJwk };

export class SigningKeys {
  readonly #keys: readonly SigningKey[];

  constructor(keys: SecretKeys) {
    this.#keys = keys.derive(PURPOSE).map((seed) => {
      const secret = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
      const { x = "" } = createPublicKey(secret).export({ format: "jwk" });
      // Source of the name: RFC 7638.
      const kid = createHash("sha256")
        .update(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }))
        .digest("base64url");
      return { secret, jwk: { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", use: "sig" } };
    });
  }

  /** What checks signatures, as a JWK Set. Source: RFC 7517, 5. */
  get published(): { keys: PublicJwk[] } {
    return { keys: this.#keys.map(({ jwk }) => jwk) };
  }

  /** A compact JWT, with a name of its own. Source: RFC 7519. */
  async sign({ type, issuer, audience, lifeSeconds, claims }: Signed): Promise<string> {
    const { SignJWT } = await import("jose"); // who signs nothing does not load it
    const [{ secret, jwk }] = this.#keys as readonly [SigningKey];
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: jwk.alg, typ: type, kid: jwk.kid })
      .setIssuer(issuer)
      .setAudience(audience)
      .setIssuedAt(now)
      .setExpirationTime(now + lifeSeconds)
      .setJti(crypto.randomUUID())
      .sign(secret);
  }
}
