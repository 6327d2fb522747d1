/** What a tool gets beside its input: the caller, the thread's files, a guarded fetch, a way to show progress. */
import type { ToolCaller, ToolContext, ToolFiles } from "@callboard/kit";
import { type CallId, type File, fileName, mediaType, newId, type TokenId, toUuid } from "@callboard/protocol";
import { documentsFor } from "../documents/index.ts";
import type { Feed } from "../events/index.ts";
import {
  completeBlob,
  findFile,
  findWritten,
  insertFile,
  listFiles,
  readBytes,
  storeBytes,
  toFile,
} from "../files/index.ts";
import type { Logger } from "../log/index.ts";
import { Attempts, type RunKey, type RunRow, runScope, StaleAccess, ThreadLog } from "../runs/index.ts";
import type { SecretKeys } from "../secrets/index.ts";
import type { Database, Transaction } from "../storage/index.ts";
import type { Authority, Standing } from "./authority.ts";
import { RunStop } from "./stop.ts";

export type ToolServices = {
  database: Database;
  keys: SecretKeys;
  feed: Feed;
  fetch: typeof fetch;
  log: Logger;
  now: () => Date;
  maxFileBytes: number;
  authority: Pick<Authority, "standing">;
};

export type ToolRun = { key: RunKey; fence: number; row: RunRow; standing: Standing };

/** Bytes one `files.read` may load into memory. */
const MAX_READ_BYTES = 8 * 1024 * 1024;
const MAX_LISTED = 200;

export function toolContext(
  services: ToolServices,
  run: ToolRun,
  callId: CallId,
  tool: string,
  signal: AbortSignal,
  relayStatus: ToolContext["relayStatus"],
  invokeAgent: ToolContext["invokeAgent"],
): ToolContext {
  const { key } = run;
  const names = { run_id: key.runId, tool, call_id: callId };
  return {
    caller: toolCaller(run),
    callId,
    signal,
    thread: { id: key.threadId },
    run: { id: key.runId },
    files: toolFiles(services, run, callId),
    documents: documentsFor(services.database, runScope(key, run.row.principal), run.standing.scopes),
    fetch: services.fetch,
    invokeAgent,
    relayStatus,
    log: {
      info: (message, facts) => services.log.info({ ...names, facts }, message),
      warn: (message, facts) => services.log.warn({ ...names, facts }, message),
    },
  };
}

export function toolCaller({ key, row, standing }: ToolRun): ToolCaller {
  const { kind, userId, email, tokenId } = row.principal;
  const serviceId = kind === "service" ? (tokenId as TokenId) : null;
  const groups = Object.freeze([...standing.groups]);
  return Object.freeze({ organizationId: key.organizationId, kind, userId, serviceId, email, groups });
}

function toolFiles(services: ToolServices, run: ToolRun, callId: CallId): ToolFiles {
  const { database } = services;
  const { key } = run;
  return {
    list: async () => (await listFiles(database, key.organization, key.thread, null, null, MAX_LISTED)).map(toFile),
    read: async (id) => {
      const row = await findFile(database, key.organization, toUuid(id));
      if (row === undefined || row.thread_id !== key.thread) throw new Error(`there is no file ${id} in this thread`);
      if (row.size_bytes > MAX_READ_BYTES) throw new Error(`file ${id} is larger than ${MAX_READ_BYTES} bytes`);
      const chunks: Uint8Array[] = [];
      for await (const chunk of readBytes(database, key.organization, row.blob_id)) chunks.push(chunk);
      return { file: toFile(row), bytes: Buffer.concat(chunks) };
    },
    write: (file) => writeArtifact(services, run, callId, file),
  };
}

/**
 * One commit: the file, its bytes, its event; the same call and name give the same file (fenced like all a run writes).
 *
 * @throws RunFailure access_revoked when the rights that the call began with have ended
 */
async function writeArtifact(
  services: ToolServices,
  { key, fence, row, standing }: ToolRun,
  callId: CallId,
  given: { name: string; mediaType: string; bytes: Uint8Array | string },
): Promise<File> {
  const { database, feed, maxFileBytes } = services;
  const name = fileName.parse(given.name);
  const type = mediaType.parse(given.mediaType);
  const call = toUuid(callId);
  const before = await findWritten(database, key.organization, call, name);
  if (before !== undefined) return toFile(before);
  const bytes = typeof given.bytes === "string" ? new TextEncoder().encode(given.bytes) : given.bytes;
  const stored = await storeBytes(
    database,
    key.organization,
    (async function* () {
      yield bytes;
    })(),
    maxFileBytes,
  );
  let { epoch } = standing;
  const write = async (tx: Transaction) => {
    const at = services.now().toISOString();
    const log = await ThreadLog.hold(tx, key.organizationId, key.threadId, at);
    if (log === undefined || log.row.active_run_id !== key.run || log.row.active_fence !== fence) {
      throw new RunStop("lost");
    }
    if (log.epoch !== epoch) throw new StaleAccess();
    await completeBlob(tx, key.organization, stored.blob);
    const { principal } = row;
    const fileRow = {
      organization_id: key.organization,
      id: toUuid(newId("file")),
      agent_id: row.agent_id,
      thread_id: key.thread,
      run_id: key.run,
      call_id: call,
      kind: "artifact" as const,
      name,
      media_type: type,
      size_bytes: stored.sizeBytes,
      sha256: stored.sha256,
      blob_id: stored.blob,
      created_by_kind: principal.kind,
      created_by_id: toUuid(principal.userId ?? principal.tokenId),
      created_at: at,
    };
    await insertFile(tx, fileRow);
    const file = toFile(fileRow);
    log.append("file.added", key.run, { file });
    await log.save(feed);
    return file;
  };
  for (const attempts = new Attempts(); ; ) {
    try {
      return await database.tenant(runScope(key, row.principal), write);
    } catch (error) {
      if (!(error instanceof StaleAccess)) throw error;
      await attempts.again();
      ({ epoch } = await services.authority.standing(row, true));
    }
  }
}
