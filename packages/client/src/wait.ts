/** Waits for the end of a run or a job. */
import type { Job, Run } from "@callboard/protocol";
import { backoffMs, sleep } from "./backoff.ts";
import { CallboardTimeoutError, isPassing } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** Seconds of one request; below the idle limit of common proxies. */
const WAIT_SECONDS = 25;
/** An answer that comes sooner than this without an end means the server does not hold answers. */
const SOON_MS = 500;

type Ended<T> = Extract<T, { state: "completed" | "failed" | "canceled" }>;
export type EndedRun = Ended<Run>;
export type EndedJob = Ended<Job>;

export type WaitOptions = {
  /** Rejects with CallboardTimeoutError after this long. Default: wait as long as it takes. */
  timeoutMs?: number | undefined;
  /** Ends the waiting, not the run; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
};

/**
 * The run, once it is completed, failed or canceled. A run that waits for a person's permission has not
 * ended. Once the first answer came, passing failures (a restart of the server) are waited out.
 *
 * @param known the server has told of the run already: also a first passing failure is waited out
 * @throws CallboardTimeoutError, not_found
 */
export async function waitForRun(
  transport: Transport,
  runId: string,
  { timeoutMs, signal }: WaitOptions = {},
  known = false,
): Promise<EndedRun> {
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const either = [signal, timeout].filter((each) => each !== undefined);
  const stop = either.length > 0 ? AbortSignal.any(either) : undefined;
  let run: Run | undefined;
  const waitSeconds = timeoutMs === undefined ? WAIT_SECONDS : Math.min(WAIT_SECONDS, timeoutMs / 1000);
  try {
    return await untilEnded(
      async () => {
        run = await transport.call("runs.get", { params: { run_id: runId }, waitSeconds, signal: stop });
        return run;
      },
      stop,
      known,
    );
  } catch (error) {
    if (timeout?.aborted && !signal?.aborted) throw new CallboardTimeoutError(runId, timeoutMs as number, run);
    throw error;
  }
}

/**
 * The job, once it is completed, failed or canceled. Passing failures are waited out as with runs.
 *
 * @param known as with runs
 * @throws not_found
 */
export function waitForJob(
  transport: Transport,
  jobId: string,
  signal: AbortSignal | undefined,
  known = false,
): Promise<EndedJob> {
  const ask = () => transport.call("jobs.get", { params: { job_id: jobId }, waitSeconds: WAIT_SECONDS, signal });
  return untilEnded(ask, signal, known);
}

async function untilEnded<T extends { state: string }>(
  ask: () => Promise<T>,
  stop: AbortSignal | undefined,
  answered = false,
): Promise<Ended<T>> {
  for (let failures = 0; ; ) {
    const askedAtMs = Date.now();
    try {
      const one = await ask();
      if (isEnded(one)) return one;
      answered = true;
      failures = 0;
      if (Date.now() - askedAtMs < SOON_MS) await sleep(SOON_MS, stop);
    } catch (error) {
      stop?.throwIfAborted();
      if (!answered || !isPassing(error)) throw error;
      await sleep(backoffMs(failures++, SOON_MS, 15_000), stop);
    }
  }
}

const isEnded = <T extends { state: string }>(one: T): one is Ended<T> =>
  one.state === "completed" || one.state === "failed" || one.state === "canceled";
