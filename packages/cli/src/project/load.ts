/** The agents and documents of a project's folder, read as the server reads them. */
import { resolve } from "node:path";
import type { AgentInFile, CollectionInFiles } from "@callboard/server";
import type { Command } from "commander";
import { UsageError } from "../errors.ts";

export type ProjectOptions = { project?: string };

/** Adds `--project`. */
export const inProject = (command: Command): Command =>
  command.option("--project <folder>", "folder with agents/ (default: CALLBOARD_PROJECT, then the current folder)");

export const projectFolder = ({ project }: ProjectOptions, env: NodeJS.ProcessEnv): string =>
  resolve(project ?? (env.CALLBOARD_PROJECT || "."));

/** @throws UsageError when the folder has no agents: with `--prune` that would take all of the server's away */
export async function loadFiles(folder: string): Promise<AgentInFile[]> {
  const { loadAgents } = await import("@callboard/server");
  const files = await loadAgents(folder);
  if (files.length === 0) throw new UsageError(`expected agents in ${folder}/agents; found none. Give --project`);
  return files;
}

/** None for a project without `documents/`. */
export async function loadCollections(folder: string): Promise<CollectionInFiles[]> {
  const { loadDocuments } = await import("@callboard/server");
  return loadDocuments(folder);
}
