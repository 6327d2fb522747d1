/** The events room: the log of a thread, read in pages and followed. */
export { eventFrame, eventJson, type LoggedEvent, type NewEvent, newEvent } from "./event.ts";
export { Feed, type Follower, type Reader } from "./feed.ts";
export { type EventPage, eventPage, eventsAfter, findEndOfRun, insertEvents, type LogKey } from "./store.ts";
