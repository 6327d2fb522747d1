/** The secrets room: what is encrypted at rest, and changing the key it is under. */
export { secretColumn } from "./column.ts";
export { type SealedSecret, SecretError, SecretKeys } from "./keys.ts";
export { countUnknown, type Rotation, rotateSecrets, type SecretShelf, type StoredSecret } from "./rotate.ts";
export { SigningKeys } from "./signing.ts";
export { openText, openValue, sealText, sealValue } from "./value.ts";
