/** Jobs: read, wait for, cancel. */
import { CallboardError, isJobEnded, type Job, parseId, toUuid } from "@callboard/protocol";
import { audit, cancelJob, type JobDecision, readJob, scopeOf } from "../access/index.ts";
import { findJob, type JobRow, type Jobs, toFacts, toJob } from "../endpoints/index.ts";
import type { Database, Sql } from "../storage/index.ts";
import type { ApiRequest, Handlers, Sent } from "./handler.ts";

export type JobRooms = { database: Database; jobs: Jobs };

export function jobHandlers({ database, jobs }: JobRooms): Pick<Handlers, "jobs.get" | "jobs.cancel"> {
  /** The job, if the caller may see it; an admin's look at others' jobs is audited. */
  async function seen(
    { caller, params, requestId }: ApiRequest<"jobs.get" | "jobs.cancel">,
    decide: (row: JobRow | undefined) => JobDecision<"job.read" | "job.cancel">,
    action: "job.read_as_admin" | "job.cancel_as_admin",
  ): Promise<JobRow> {
    const id = parseId("job", params.job_id);
    const find = (sql: Sql) => (id === undefined ? undefined : findJob(sql, toUuid(caller.organizationId), toUuid(id)));
    const row = await database.tenant(scopeOf(caller), async (tx) => find(tx));
    const { asAdmin, grant } = decide(row);
    if (asAdmin) {
      await audit(database, { actor: { caller }, action, target: grant.subject, outcome: "done", requestId });
    }
    return row as JobRow; // the decision has refused what is not there
  }

  return {
    "jobs.get": async (request) => {
      const decide = (row: JobRow | undefined) => readJob(request.caller, row && toFacts(row));
      const row = await seen(request, decide, "job.read_as_admin");
      const now = request.waitSeconds === 0 ? row : await jobs.wait(row, request.waitSeconds, request.signal);
      return toSent("jobs.get", now);
    },

    "jobs.cancel": async (request) => {
      const decide = (row: JobRow | undefined) => cancelJob(request.caller, row && toFacts(row));
      return toSent("jobs.cancel", await jobs.cancel(await seen(request, decide, "job.cancel_as_admin")));
    },
  };
}

/** A job that is under way says when to ask again. */
function toSent<N extends "jobs.get" | "jobs.cancel">(route: N, row: JobRow | undefined): Sent<N> {
  if (row === undefined) throw new CallboardError("not_found", "there is no such job for this caller");
  const job: Job = toJob(row);
  return {
    kind: "sent",
    route,
    status: 200,
    text: JSON.stringify(job),
    ...(isJobEnded(job.state) ? {} : { headers: { "retry-after": "1" } }),
  };
}
