/** Jobs: calls of endpoints in polling mode. */
import { z } from "zod";
import { type Json, json, timestamp } from "./common.ts";
import { idSchema } from "./ids.ts";
import { principalRef, runError } from "./threads.ts";

export const jobStates = ["queued", "running", "completed", "failed", "canceled"] as const;
export const jobState = z.enum(jobStates);
export type JobState = z.infer<typeof jobState>;

export const isJobEnded = (state: JobState): boolean => state !== "queued" && state !== "running";

/** What the handler said last with `relayStatus`. */
export const jobStatus = z.object({
  text: z.string(),
  /** From 0 to 1. */
  progress: z.number().min(0).max(1).optional(),
  data: json.optional(),
});
export type JobStatus = z.infer<typeof jobStatus>;

/** A refusal as a call in mode `sync` would have been answered: code of the error catalogue or of a run's end. */
export const jobError = runError.extend({
  status: z.number().int(),
  details: z.record(z.string(), json).optional(),
});
export type JobError = z.infer<typeof jobError>;

const jobFields = z.object({
  job_id: idSchema("job"),
  /** Path of the endpoint, like `/endpoints/triage-ticket`. */
  endpoint: z.string(),
  state: jobState,
  status: jobStatus.nullable(),
  created_by: principalRef,
  created_at: timestamp,
  started_at: timestamp.nullable(),
  ended_at: timestamp.nullable(),
  /** When result and error are forgotten; null while the job is under way. */
  expires_at: timestamp.nullable(),
  /** Number of its last event so far; 0 for none. */
  last_seq: z.number().int(),
});

/** What a job has beside its fields, by its state. */
type JobNow =
  | { state: "queued" | "running"; result?: never; error?: never }
  | { state: "completed"; result: Json; error?: never }
  | { state: "failed" | "canceled"; error: JobError; result?: never };
export type Job = Omit<z.infer<typeof jobFields>, "state"> & JobNow;

export const job = jobFields
  .extend({
    /** Only on `completed`. */
    result: json.optional(),
    /** Only on `failed` and `canceled`. */
    error: jobError.optional(),
  })
  .meta({ id: "Job" }) as unknown as z.ZodType<Job>;

/** What a call in polling mode is answered at once. */
export const jobAccepted = jobFields.pick({ job_id: true, state: true, status: true }).meta({ id: "JobAccepted" });
export type JobAccepted = z.infer<typeof jobAccepted>;

/**
 * The events of a job: one union by `type`. A job that is run again after a crash or a restart has a further
 * `job.started`, and says again what it has to say. The last event is one of `jobEndTypes`.
 */
export const jobEventData = {
  "job.started": z.object({ attempt: z.number().int() }),
  /** What the handler said with `relayStatus`. */
  "job.status": jobStatus,
  "job.completed": z.object({ result: json }),
  "job.failed": z.object({ error: jobError }),
  "job.canceled": z.object({ error: jobError }),
} as const;
export type JobEventType = keyof typeof jobEventData;
export type JobEventData<T extends JobEventType> = z.infer<(typeof jobEventData)[T]>;
export const jobEndTypes = ["job.completed", "job.failed", "job.canceled"] as const satisfies JobEventType[];

type JobEventOf<T extends JobEventType> = {
  /** From 1, one more with each event of this job. */
  seq: number;
  job_id: string;
  type: T;
  data: JobEventData<T>;
  created_at: string;
};
export type JobEvent = { [T in JobEventType]: JobEventOf<T> }[JobEventType];

export const jobEvent = z
  .discriminatedUnion(
    "type",
    (Object.keys(jobEventData) as JobEventType[]).map((type) =>
      z.object({
        seq: z.number().int(),
        job_id: idSchema("job"),
        type: z.literal(type),
        data: jobEventData[type],
        created_at: timestamp,
      }),
    ) as never,
  )
  .meta({ id: "JobEvent" }) as unknown as z.ZodType<JobEvent>;
