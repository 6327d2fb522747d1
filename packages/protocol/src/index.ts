/** The words on the wire. Everything here is shared by server, client, CLI and console. */
export * from "./agents.ts";
export * from "./approvals.ts";
export * from "./audit.ts";
export { type Json, json, timestamp } from "./common.ts";
export * from "./documents.ts";
export * from "./errors.ts";
export * from "./events.ts";
export * from "./files.ts";
export * from "./ids.ts";
export * from "./jobs.ts";
export * from "./organization.ts";
export * from "./permissions.ts";
export * from "./routes.ts";
export * from "./run.ts";
export * from "./sign-in.ts";
export * from "./threads.ts";
export * from "./usage.ts";
