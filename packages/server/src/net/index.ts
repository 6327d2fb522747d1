/** The room's door: connections to addresses that somebody else chose. */
export { type AllowedHost, isAllowed, parseAllowedHost } from "./allowed.ts";
export { type Connection, type ConnectionUser, type Origin, openConnection } from "./connection.ts";
export { GuardedFetchError } from "./failure.ts";
export { type GuardedFetchOptions, guardedFetch } from "./fetch.ts";
export { AddressRefusedError } from "./guard.ts";
export { type Head, HttpSyntaxError, ResponseParser, type ResponseSink } from "./http1.ts";
export { type IdleWatch, watchIdle } from "./idle.ts";
