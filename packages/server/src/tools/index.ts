/** The tools room: what a model may ask for, and one call of it. */
export { type CallResult, callTool, checkInput, storable, storableJson } from "./call.ts";
export { type LoadedTool, loadTools, ToolRegistry } from "./registry.ts";
