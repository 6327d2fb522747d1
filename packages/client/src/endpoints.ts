/** Custom endpoints and the jobs of those that answer later. */
import type { JobAccepted, Json } from "@callboard/protocol";
import { readJson } from "./answer.ts";
import type { Call } from "./calls.ts";
import { CallboardApiError } from "./errors.ts";
import { type FollowJobOptions, followJob } from "./follow.ts";
import type { Transport } from "./transport.ts";
import type { CreateOptions, PreferWait, QueryInput, RequestOptions } from "./types.ts";
import { type EndedJob, waitForJob } from "./wait.ts";

type EndpointOptions = Omit<CreateOptions, "idempotencyKey"> & {
  /**
   * As with every creating call: one of its own by default, so that each call is another one. Null sends none: a call
   * of an endpoint in mode `polling` joins the caller's job that is under way for the same input. Such a call is not
   * repeated by itself when no answer comes, and its signal does not cancel a job that others may wait for.
   */
  idempotencyKey?: string | null | undefined;
};
export type EndpointCallOptions = EndpointOptions & {
  /** Default POST. With GET and DELETE the input goes into the query. */
  method?: Call["method"] | undefined;
};

/**
 * An endpoint with the types that `callboard generate` found on a server. A plain object, so that the generated file
 * imports nothing.
 */
export type EndpointRef<Input = unknown, Output = Json> = {
  readonly method: Call["method"];
  readonly path: string;
  /** Only for the compiler. */
  readonly types?: { readonly input: Input; readonly output: Output };
};

/** An input without a field that is needed may be left out. */
type Given<Input> = object extends Input
  ? [input?: Input, options?: EndpointOptions]
  : [input: Input, options?: EndpointOptions];

export type CallEndpoint = {
  <Input, Output>(endpoint: EndpointRef<Input, Output>, ...given: Given<NoInfer<Input>>): Promise<Output>;
  <Output = Json>(path: string, input?: unknown, options?: EndpointCallOptions): Promise<Output>;
};

export function endpointCalls(transport: Transport) {
  /**
   * Calls an endpoint and returns its answer. One that answers with a job, at once or because it takes long, is
   * waited for; aborting the signal cancels the job.
   *
   * @param endpoint one of the generated ones, or a path below `/endpoints`, like `triage-ticket` or `tickets/t-7`;
   *   encode in it what a person typed
   * @throws CallboardApiError also for what a job failed with
   */
  const call: CallEndpoint = async <Output>(
    endpoint: EndpointRef | string,
    input?: unknown,
    options: EndpointCallOptions = {},
  ): Promise<Output> => {
    const { method, path } =
      typeof endpoint === "string" ? { method: options.method ?? "POST", path: endpoint } : endpoint;
    const inQuery = method === "GET" || method === "DELETE";
    const search = inQuery ? fieldsText(input as Record<string, unknown> | undefined) : "";
    const to: Call = { method, path: `${pathOf(path)}${search}`, idempotent: true };
    const answer = await transport.send(to, { ...options, body: inQuery ? undefined : input }, async (response) => ({
      isJob: response.status === 202,
      value: await readJson(response),
    }));
    if (!answer.isJob) return answer.value as Output;
    const isOwn = options.idempotencyKey !== null;
    return (await jobResult(transport, (answer.value as JobAccepted).job_id, options.signal, isOwn)) as Output;
  };
  return { call };
}

/** @throws TypeError for an empty part, `.` or `..`, as what a person typed may be: they would reach another endpoint */
function pathOf(path: string): string {
  const below = path.replace(/^\/+/, "");
  const [parts = ""] = below.split("?");
  if (parts === "") return `/endpoints${below}`; // `endpoints/index.ts`
  if (parts.split("/").every((part) => !/^(?:\.|%2e){0,2}$/i.test(part))) return `/endpoints/${below}`;
  throw new TypeError(`expected a path below /endpoints with a value in each part; found ${JSON.stringify(path)}`);
}

/** `?a=1&b=x&b=y`: a list is its values under one name. */
function fieldsText(fields: Record<string, unknown> = {}): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) parts.append(name, one instanceof Date ? one.toISOString() : String(one));
    }
  }
  const text = parts.toString();
  return text === "" ? "" : `?${text}`;
}

export function jobCalls(transport: Transport) {
  const { call } = transport;
  const byId = (jobId: string, options?: RequestOptions) => ({ params: { job_id: jobId }, ...options });
  return {
    /** With `waitSeconds` once it has ended, or for `after_seq` once it has a further event. */
    get: (jobId: string, { after_seq, ...options }: QueryInput<"jobs.get"> & RequestOptions & PreferWait = {}) =>
      call("jobs.get", { ...byId(jobId, options), query: { after_seq } }),

    /**
     * What the job's handler says and how it ends, from after `afterSeq`: each event once and in order, also when
     * the connection breaks or the server restarts in between. Ends behind the last event.
     *
     * ```ts
     * for await (const event of client.jobs.follow(jobId)) if (event.type === "job.status") show(event.data.text);
     * ```
     *
     * @throws CallboardApiError for a refusal like 401, 403, 404; CallboardConnectionError when even the
     *   first connection cannot be made; the signal's reason
     */
    follow: (jobId: string, options?: FollowJobOptions) => followJob(transport, jobId, options),

    /** Cancels the job and the runs it has started. A job that has ended stays as it is. */
    cancel: (jobId: string, options?: RequestOptions) => call("jobs.cancel", byId(jobId, options)),

    /** The job, once it is completed, failed or canceled. The signal ends the waiting, not the job. */
    wait: (jobId: string, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<EndedJob> =>
      waitForJob(transport, jobId, signal),
  };
}

async function jobResult(
  transport: Transport,
  jobId: string,
  signal: AbortSignal | undefined,
  isOwn: boolean,
): Promise<unknown> {
  let job: EndedJob;
  try {
    job = await waitForJob(transport, jobId, signal, true);
  } catch (error) {
    // Who waits no more wants no more, as with an endpoint that answers at once.
    if (isOwn && signal?.aborted)
      await transport.call("jobs.cancel", { params: { job_id: jobId } }).catch(() => undefined);
    throw error;
  }
  if (job.state === "completed") return job.result;
  const { status, code, message, details } = job.error;
  throw new CallboardApiError({ status, code, message, details });
}
