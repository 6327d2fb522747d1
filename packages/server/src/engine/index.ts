/** The engine room: claims runs, calls models and tools, appends what happens. */

export { createAuthority } from "./authority.ts";
export { DELTA_MS } from "./deltas.ts";
export { Engine, type EngineOptions } from "./engine.ts";
export type { LoopServices } from "./loop.ts";
export { RunFailure } from "./stop.ts";
export { Wheel } from "./wheel.ts";
