/** The tools room: what a model may ask for, and one call of it. */
export { type CallResult, callTool, checkInput, MAX_OUTPUT_CHARS, storable } from "./call.ts";
export { type LoadedTool, loadTools, ToolRegistry } from "./registry.ts";
