import type { EventData, RunErrorCode } from "@callboard/protocol";
import type { NewPermission } from "../runs/index.ts";
import type { ToolRegistry } from "../tools/index.ts";

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
  readonly code: RunErrorCode;

  constructor(code: RunErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "RunFailure";
    this.code = code;
  }
}

/** An agent's version names a tool that is not here, with the reason where one is known. */
export function missingTool(registry: ToolRegistry, name: string): RunFailure {
  const why = registry.missing(name);
  const more = why === undefined ? "" : `; ${why}`;
  return new RunFailure("tool_missing", `the tool ${name} is not on this server${more}`);
}

/** The run waits for a person's answer before it goes on. */
export class RunPause extends Error {
  readonly permission: NewPermission;
  readonly requested: EventData<"permission.requested">;

  constructor(permission: NewPermission, requested: EventData<"permission.requested">) {
    super("the run waits for a person");
    this.name = "RunPause";
    this.permission = permission;
    this.requested = requested;
  }
}
