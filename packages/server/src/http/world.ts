/** What the handlers of threads, events, runs and files stand on. */
import type { Acts, Authenticator } from "../access/index.ts";
import type { CallWorld } from "../calls/index.ts";
import type { OpenRequests } from "./open.ts";
import type { Streams } from "./sse.ts";

export type World = CallWorld & {
  open: OpenRequests;
  streams: Streams;
  authenticator: Authenticator;
  acts: Acts;
  maxFileBytes: number;
};
