#!/usr/bin/env node
// Plain JavaScript that every Node reads: a project needs a new one, so this looks first.
import { existsSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error(
    `create-callboard: a Callboard project needs Node 24.11 or later; this is Node ${process.versions.node}. ` +
      "Install a newer one from https://nodejs.org, then run this again.",
  );
  process.exit(1);
}

// In the repository Node runs the TypeScript itself; a published package brings JavaScript alone.
const source = new URL("../src/bin.ts", import.meta.url);
await import(existsSync(source) ? source.href : new URL("../src/bin.js", import.meta.url).href);
