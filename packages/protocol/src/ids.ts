/**
 * Ids on the wire: a prefix that names the thing, `_`, and 26 characters that hold a UUID.
 *
 * Source: the TypeID specification 0.3 (Crockford base32, lower case, 128 bits left-padded to 130).
 * The database keeps the 128 bits as `uuid`; new ids are UUIDv7, so they sort by creation time.
 */
import { z } from "zod";

declare const brand: unique symbol;
export type Id<Kind extends IdKind> = string & { readonly [brand]: Kind };

/** Prefix of each kind of id. */
export const idPrefix = {
  organization: "org",
  user: "user",
  group: "group",
  token: "token",
  agent: "agent",
  modelConnection: "model",
  thread: "thread",
  run: "run",
  event: "event",
  message: "msg",
  call: "call",
  permission: "perm",
  file: "file",
  request: "req",
  worker: "worker",
  audit: "audit",
  job: "job",
  budget: "budget",
  session: "session",
  invitation: "invite",
  passwordLink: "pwlink",
  ssoConnection: "sso",
  collection: "collection",
  document: "document",
} as const;
export type IdKind = keyof typeof idPrefix;

export type OrganizationId = Id<"organization">;
export type UserId = Id<"user">;
export type GroupId = Id<"group">;
export type TokenId = Id<"token">;
export type AgentId = Id<"agent">;
export type ModelConnectionId = Id<"modelConnection">;
export type ThreadId = Id<"thread">;
export type RunId = Id<"run">;
export type EventId = Id<"event">;
export type MessageId = Id<"message">;
export type CallId = Id<"call">;
export type PermissionId = Id<"permission">;
export type FileId = Id<"file">;
export type RequestId = Id<"request">;
export type WorkerId = Id<"worker">;
export type AuditId = Id<"audit">;
export type JobId = Id<"job">;
export type BudgetId = Id<"budget">;
export type SessionId = Id<"session">;
export type InvitationId = Id<"invitation">;
export type PasswordLinkId = Id<"passwordLink">;
export type SsoConnectionId = Id<"ssoConnection">;
export type CollectionId = Id<"collection">;
export type DocumentId = Id<"document">;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const VALUE = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) VALUE[ALPHABET.charCodeAt(i)] = i;

// Both ways the text is made at once. Added up character by character it would be a tree of its pieces, twenty times
// the size, for as long as nobody reads it.
const letters: number[] = new Array(26).fill(0);
const digits: number[] = new Array(36).fill(0);
const LETTER = Array.from(ALPHABET, (letter) => letter.charCodeAt(0));
const DIGIT = Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
const DASH = "-".charCodeAt(0);

/** 16 bytes → 26 characters. */
function encode(bytes: Uint8Array): string {
  let at = 0;
  let bits = 2; // 130 = 128 + 2 leading zero bits
  let held = 0;
  for (let i = 0; i < 16; i++) {
    held = (held << 8) | (bytes[i] as number);
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      letters[at++] = LETTER[(held >>> bits) & 31] as number;
    }
    held &= (1 << bits) - 1;
  }
  return String.fromCharCode.apply(null, letters);
}

/** 26 characters → UUID text, or undefined when a character or the range is wrong. */
function decode(text: string): string | undefined {
  if (text.length !== 26) return undefined;
  let at = 0;
  let held = 0;
  let bits = -2;
  for (let i = 0; i < 26; i++) {
    const code = text.charCodeAt(i);
    const value = code < 128 ? (VALUE[code] as number) : -1;
    if (value < 0 || (i === 0 && value > 7)) return undefined;
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      digits[at++] = DIGIT[(held >>> (bits + 4)) & 15] as number;
      digits[at++] = DIGIT[(held >>> bits) & 15] as number;
      held &= (1 << bits) - 1;
      if (at === 8 || at === 13 || at === 18 || at === 23) digits[at++] = DASH;
    }
  }
  return String.fromCharCode.apply(null, digits);
}

/** Hexadecimal digit → value, by character code. */
const NIBBLE = new Uint8Array(128);
for (let i = 0; i < 16; i++) {
  NIBBLE[i.toString(16).charCodeAt(0)] = i;
  NIBBLE[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

/** UUID text → 26 characters. */
function encodeUuid(uuid: string): string {
  const bytes = scratch;
  let at = 0;
  for (let i = 0; i < 36; i += 2) {
    if (uuid.charCodeAt(i) === 45) i++;
    bytes[at++] = ((NIBBLE[uuid.charCodeAt(i)] as number) << 4) | (NIBBLE[uuid.charCodeAt(i + 1)] as number);
  }
  return encode(bytes);
}

/** Bytes of the id at hand: nothing here waits, so one buffer serves. */
const scratch = new Uint8Array(16);

let lastMs = 0;
let counter = 0;
const random = new Uint8Array(2560);
let randomAt = random.length;

/**
 * A new id, larger than every id this process made before.
 *
 * @param nowMs milliseconds since 1970; the first 48 bits of the UUIDv7
 * Source: RFC 9562 §6.2 method 1, a 12-bit counter within the millisecond.
 */
export function newId<K extends IdKind>(kind: K, nowMs: number = Date.now()): Id<K> {
  if (nowMs > lastMs) {
    lastMs = nowMs;
    counter = 0;
  } else if (++counter > 0xfff) {
    lastMs++;
    counter = 0;
  }
  if (randomAt >= random.length) {
    crypto.getRandomValues(random);
    randomAt = 0;
  }
  const bytes = scratch;
  const high = Math.floor(lastMs / 0x10000);
  bytes[0] = high >>> 24;
  bytes[1] = high >>> 16;
  bytes[2] = high >>> 8;
  bytes[3] = high;
  bytes[4] = lastMs >>> 8;
  bytes[5] = lastMs;
  bytes[6] = 0x70 | (counter >>> 8);
  bytes[7] = counter;
  for (let i = 8; i < 16; i++) bytes[i] = random[randomAt++] as number;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return `${idPrefix[kind]}_${encode(bytes)}` as Id<K>;
}

/** The UUID text of an id, for a `uuid` column. The id was made here or came through `parseId`. */
export function toUuid(id: Id<IdKind>): string {
  const uuid = decode(id.slice(id.lastIndexOf("_") + 1));
  if (uuid === undefined) throw new TypeError(`not an id: ${id}`);
  return uuid;
}

/** The id of a `uuid` column. */
export function fromUuid<K extends IdKind>(kind: K, uuid: string): Id<K> {
  return `${idPrefix[kind]}_${encodeUuid(uuid)}` as Id<K>;
}

/** The id in a text from outside, or undefined when it is not one of this kind. */
export function parseId<K extends IdKind>(kind: K, text: string): Id<K> | undefined {
  const prefix = idPrefix[kind];
  if (!text.startsWith(`${prefix}_`)) return undefined;
  return decode(text.slice(prefix.length + 1)) === undefined ? undefined : (text as Id<K>);
}

/** A zod schema for ids of one kind. */
export function idSchema<K extends IdKind>(kind: K) {
  return z
    .string()
    .refine((text): text is Id<K> => parseId(kind, text) !== undefined, {
      message: `expected an id like ${idPrefix[kind]}_01h455vb4pex5vsknk084sn02q`,
    })
    .meta({ example: `${idPrefix[kind]}_01h455vb4pex5vsknk084sn02q` }) as unknown as z.ZodType<Id<K>, string>;
}
