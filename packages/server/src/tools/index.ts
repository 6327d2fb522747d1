/** The tools room: what a model may ask for, one call of it, and what must be asked before. */
export { argumentsHash, scopeOf, shownInput, toolAsks } from "./approval.ts";
export { CallDenied, type CallResult, CallSuspended, callTool, checkInput, storable, storableJson } from "./call.ts";
export { type PathStep, pathSteps, valuesAt } from "./input-path.ts";
export { isSensitive, type LoadedTool, loadTools, ToolRegistry } from "./registry.ts";
