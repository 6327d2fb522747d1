/** Jobs: calls of endpoints in polling mode. */
import { z } from "zod";
import { json, timestamp } from "./common.ts";
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

export const job = z
  .object({
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
    /** Only on `completed`. */
    result: json.optional(),
    /** Only on `failed` and `canceled`. */
    error: jobError.optional(),
  })
  .meta({ id: "Job" });
export type Job = z.infer<typeof job>;

/** What a call in polling mode is answered at once. */
export const jobAccepted = job.pick({ job_id: true, state: true, status: true }).meta({ id: "JobAccepted" });
export type JobAccepted = z.infer<typeof jobAccepted>;
