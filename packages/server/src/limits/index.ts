/** The limits room: how many requests may come, from whom and from where. */
export { network } from "./address.ts";
export { FailureLimit, type FailureLimitOptions } from "./failures.ts";
export { RequestLimits, type RequestLimitsOptions, type RequestSubject } from "./requests.ts";
export { sweepBuckets } from "./store.ts";
