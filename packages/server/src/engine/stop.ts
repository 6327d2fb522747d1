/** Why the work on a run stops before its own end: the reason of its abort signal. */
export class RunStop extends Error {
  /**
   * `lost`: the run is not this process's any more; nothing may be written.
   * `timeout`: its running time is used up. `shutdown`: the process ends and hands it over.
   */
  readonly kind: "lost" | "timeout" | "shutdown";

  constructor(kind: "lost" | "timeout" | "shutdown") {
    super(`the run was stopped: ${kind}`);
    this.name = "RunStop";
    this.kind = kind;
  }
}

/** The run ends as failed with this error. */
export class RunFailure extends Error {
  readonly code: import("@callboard/protocol").RunErrorCode;

  constructor(code: import("@callboard/protocol").RunErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "RunFailure";
    this.code = code;
  }
}
