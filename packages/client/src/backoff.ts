/** Waiting between tries. */

/**
 * Milliseconds before the next try: doubles with each failure up to `capMs`, and a random half of it is
 * left away so that many clients do not come back at the same moment.
 *
 * @param failures tries that failed before, 0 for the first pause
 */
export function backoffMs(failures: number, baseMs: number, capMs: number): number {
  const fullMs = Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
  return fullMs * (0.5 + Math.random() / 2);
}

/** Resolves after `ms`; rejects with the signal's reason when it is aborted before. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
