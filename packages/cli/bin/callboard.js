#!/usr/bin/env -S node --max-semi-space-size=32
// Plain JavaScript that every Node reads: the rest of the program needs a new one, so this looks first.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error(
    `callboard: needs Node 24.11 or later; this is Node ${process.versions.node}. ` +
      "Install a newer one from https://nodejs.org, or run it through npm in a project that has it.",
  );
  process.exit(1);
}

// In the repository Node runs the TypeScript itself, and keeps what it made of it for the next start; a published
// package brings JavaScript alone.
const source = new URL("../src/bin.ts", import.meta.url);
const inRepository = existsSync(source);
if (inRepository) {
  const cache = new URL("../../../node_modules/.cache/callboard", import.meta.url);
  process.getBuiltinModule("node:module").enableCompileCache(fileURLToPath(cache));
}
await import(inRepository ? source.href : new URL("../src/bin.js", import.meta.url).href);
