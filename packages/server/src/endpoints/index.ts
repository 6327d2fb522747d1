/** The endpoints room: typed routes of a project, called for a request or as a job. */
export type { CallRequest, EndpointWorld, Outcome } from "./asked.ts";
export { answerCall, checkInput } from "./call.ts";
export { jobSecrets } from "./headers.ts";
export { type JobRow, toFacts, toJob } from "./job.ts";
export { type JobRequest, Jobs } from "./jobs.ts";
export type { LoadedEndpoint } from "./load.ts";
export { LoopWatch } from "./loop-watch.ts";
export { ENDPOINTS_PREFIX } from "./paths.ts";
export { isProjects, projectPlace } from "./place.ts";
export { EndpointRefusal } from "./refusal.ts";
export { EndpointRegistry, type Match } from "./registry.ts";
export { findJob, insertJob, joinJob, removeJob, sweepJobs, takeOverCall } from "./store.ts";
