/** The calls room: calling an agent, the same for every way in. Rights, files, variables, repeats, the end. */
export { toFinished } from "./finished.ts";
export {
  answerIdentity,
  answerSecrets,
  answersUnder,
  forget,
  idempotencyKey,
  reserve,
  type StoredAnswer,
  store,
  storedAnswer,
  sweepIdempotencyKeys,
} from "./idempotency.ts";
export { type NamedAgent, schemaOf, slugOf } from "./named-agent.ts";
export { planRaw, sendRaw, startRaw } from "./raw.ts";
export { decideOn, toRead, toWrite } from "./reach.ts";
export { sendTo } from "./sending.ts";
export { callable, render, start } from "./starting.ts";
export { waitForEnd, waitForEvent, waitSeconds } from "./waiting.ts";
export type { CallWorld } from "./world.ts";
