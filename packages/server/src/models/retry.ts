/**
 * One model call over retries and fallbacks.
 *
 * R1  A retryable failure is tried again on the same target, up to `maxAttempts`, after a wait that grows
 *     and that is never shorter than the provider asked for.
 * R2  When attempts are used up, or the provider asks for a wait that is too long, or the failure is about
 *     the connection (`model_unauthorized`, `model_rejected`, an address that is refused), the next target
 *     is tried. A request that one provider rejects may suit another: an unknown model, a feature or a
 *     length it lacks.
 * R3  `model_content_filtered` and `model_output_too_large` are about the content and end the call: another
 *     provider is no way around them. So does anything that is not a ModelError.
 * R4  Parts that were handed over before a failure are taken back with `onRestart` before the next try.
 * R5  An aborted signal ends the call at once with its reason.
 */
import { setTimeout as sleepMs } from "node:timers/promises";
import { type Model, type ModelEnd, ModelError, type ModelPart, type ModelRequest } from "./model.ts";

export type ModelTarget = {
  model: Model;
  modelId: string;
  /** Names the connection in logs and messages. */
  label: string;
};

export type CallOptions = {
  signal: AbortSignal;
  onPart: (part: ModelPart) => void;
  /** Everything handed over so far is void; parts start from the beginning. Must not throw. */
  onRestart: () => void;
  /** Called before each new try, for logs and metrics. Must not throw. */
  onRetry?: (failure: { error: ModelError; label: string; waitMs: number }) => void;
  /** Resolves after the time or when the signal is aborted, whichever is first. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** From 0 up to 1. */
  random?: () => number;
  /** For each target. Default 3. */
  maxAttempts?: number;
};

/** `attempts` counts the calls on all targets. */
export type CallResult = ModelEnd & { targetIndex: number; attempts: number };

const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 30_000;

/**
 * Calls the first target that answers.
 *
 * @param targets at least one, in the order they are tried; the request's own `modelId` is not used
 * @throws ModelError of the last try, or the signal's reason
 */
export async function callModel(
  targets: readonly ModelTarget[],
  request: Omit<ModelRequest, "modelId">,
  options: CallOptions,
): Promise<CallResult> {
  const { signal, onPart, onRestart, onRetry, sleep = sleepUntil, random = Math.random, maxAttempts = 3 } = options;
  let attempts = 0;
  let failure: ModelError | undefined;
  let handedOver = false;
  const hand = (part: ModelPart) => {
    handedOver = true;
    onPart(part);
  };

  for (const [targetIndex, { model, modelId, label }] of targets.entries()) {
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      signal.throwIfAborted();
      if (handedOver) {
        handedOver = false;
        onRestart();
      }
      attempts++;
      try {
        const end = await model.stream({ ...request, modelId }, { signal, onPart: hand });
        return { ...end, targetIndex, attempts };
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ModelError) || endsTheCall(error)) throw error;
        failure = error;
      }
      const waitMs = toWait(failure, attempt, random);
      if (waitMs === undefined || attempt === maxAttempts) break;
      onRetry?.({ error: failure, label, waitMs });
      if (waitMs > 0) await sleep(waitMs, signal);
    }
    if (failure !== undefined && targetIndex + 1 < targets.length) onRetry?.({ error: failure, label, waitMs: 0 });
  }
  throw failure ?? new ModelError("model_connection_missing", "there is no model connection to call");
}

function endsTheCall({ code }: ModelError): boolean {
  return code === "model_content_filtered" || code === "model_output_too_large";
}

/** Milliseconds before the same target is tried again; undefined when that is of no use. */
function toWait(error: ModelError, attempt: number, random: () => number): number | undefined {
  if (!error.retryable) return undefined;
  const asked = error.retryAfterMs;
  if (asked !== undefined && asked > MAX_WAIT_MS) return undefined;
  // Nothing to wait for, once: a kept connection that was closed by the other side.
  if (asked === 0 && attempt === 1) return 0;
  // Half of the wait is random, so that many runs that failed together do not come back together.
  const grown = Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS) * (0.5 + random() / 2);
  return Math.round(Math.max(grown, asked ?? 0));
}

async function sleepUntil(ms: number, signal: AbortSignal): Promise<void> {
  await sleepMs(ms, undefined, { signal }).catch(() => {});
}
