/** The calls room: calling an agent, the same for every way in. Rights, files, variables, repeats, the end. */
export {
  answersUnder,
  forget,
  idempotencyKey,
  reserve,
  type StoredAnswer,
  store,
  storedAnswer,
  sweepIdempotencyKeys,
} from "./idempotency.ts";
export { planRaw, sendRaw, startRaw } from "./raw.ts";
export { decideOn, toRead, toWrite } from "./reach.ts";
export { sendTo } from "./sending.ts";
export { callable, start } from "./starting.ts";
export { waitForEnd, waitForEvent, waitSeconds } from "./waiting.ts";
export type { CallWorld } from "./world.ts";
