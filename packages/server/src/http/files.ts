/** Files: streamed in as multipart or decoded from base64, streamed out. */

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  CallboardError,
  type File,
  fromUuid,
  newId,
  parseId,
  type RouteName,
  type ThreadId,
  toUuid,
  type UploadFile,
} from "@callboard/protocol";
import { type Caller, principalId, reachesAgent, readThread, requireScope, scopeOf } from "../access/index.ts";
import { callable, toRead, toWrite } from "../calls/index.ts";
import {
  completeBlob,
  deleteBlob,
  deleteFile,
  type FileRow,
  findFile,
  insertFile,
  listFiles,
  readBytes,
  type StoredBytes,
  storeBytes,
  toFile,
} from "../files/index.ts";
import { Attempts, holdRights, lockLog, StaleAccess } from "../runs/index.ts";
import { decodeCursor, type Sql, type Transaction, toPage } from "../storage/index.ts";
import { callerAfter } from "./caller.ts";
import type { ApiRequest, Handlers, Sent } from "./handler.ts";
import { takePart } from "./multipart.ts";
import type { MayGoOn } from "./open.ts";
import type { World } from "./world.ts";

type FileRoute =
  | "files.uploadToAgent"
  | "files.uploadToThread"
  | "files.list"
  | "files.get"
  | "files.download"
  | "files.delete";
type Upload = { name: string; mediaType: string; stored: StoredBytes };

export function fileHandlers(world: World): Pick<Handlers, FileRoute> {
  const { database } = world;

  /** The file, if the caller may see the thread it is in, or uploaded it where no thread is yet. */
  async function seen(
    request: ApiRequest<"files.get" | "files.download" | "files.delete">,
    deed: "read" | "write",
  ): Promise<FileRow> {
    const { caller } = request;
    requireScope(caller, deed === "read" ? "threads:read" : "threads:write");
    const id = parseId("file", request.params.file_id);
    const find = (sql: Sql) =>
      id === undefined ? undefined : findFile(sql, toUuid(caller.organizationId), toUuid(id));
    const row = await database.tenant(scopeOf(caller), async (tx) => find(tx));
    if (row === undefined) throw noFile();
    if (row.thread_id === null) {
      const agentId = row.agent_id === null ? null : fromUuid("agent", row.agent_id);
      if (row.created_by_id !== toUuid(principalId(caller)) || !reachesAgent(caller, agentId)) throw noFile();
      return row;
    }
    const thread = fromUuid("thread", row.thread_id);
    try {
      await (deed === "read" ? toRead(world, request, thread) : toWrite(world, request, thread));
    } catch (error) {
      throw error instanceof CallboardError && error.code === "not_found" ? noFile() : error;
    }
    return row;
  }

  /** Whether somebody who reads the file may go on. */
  const still =
    ({ thread_id, agent_id }: FileRow): MayGoOn =>
    async (now) => {
      requireScope(now, "threads:read");
      const agentId = agent_id === null ? null : fromUuid("agent", agent_id);
      if (thread_id === null && !reachesAgent(now, agentId)) throw noFile();
      if (thread_id === null) return;
      readThread(now, await world.threads.facts(now.organizationId, fromUuid("thread", thread_id)));
    };

  return {
    "files.uploadToAgent": async (request) => {
      const { caller } = request;
      const agent = await callable(world, caller, request.params.agent_id);
      const still = (now: Caller) => callable(world, now, request.params.agent_id);
      return keep(world, request, still, async (tx, now, upload) => {
        await holdRights(tx, now);
        const row = toRow(world, now, upload, { agent: toUuid(agent.agentId), thread: null });
        await insertFile(tx, row);
        return toFile(row);
      });
    },

    "files.uploadToThread": async (request) => {
      const { id } = await toWrite(world, request, request.params.thread_id);
      const still = (now: Caller) => toWrite(world, { ...request, caller: now }, request.params.thread_id);
      return keep(world, request, still, (tx, now, upload) => addToThread(tx, now, id, upload));
    },

    "files.list": async (request) => {
      const { query } = request;
      const { organization, thread } = await toRead(world, request, request.params.thread_id);
      const before = decodeCursor(query.cursor, "uuid") ?? null;
      const rows = await database.tenant(scopeOf(request.caller), (tx) =>
        listFiles(tx, organization, thread, query.kind ?? null, before, query.limit + 1),
      );
      return toPage(rows, query.limit, (row) => row.id, toFile);
    },

    "files.get": async (request) => toFile(await seen(request, "read")),

    "files.download": async (request) => {
      const row = await seen(request, "read");
      const { outgoing } = request;
      outgoing.writeHead(200, {
        "content-type": row.media_type,
        "content-length": row.size_bytes,
        // Whatever was uploaded stays data: never a page of ours.
        "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(row.name)}`,
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-store",
        etag: `"${row.sha256}"`,
      });
      const leave = world.open.add({ caller: request.caller, mayGoOn: still(row), end: () => outgoing.destroy() });
      await pipeline(Readable.from(readBytes(database, row.organization_id, row.blob_id)), outgoing)
        .catch(() => outgoing.destroy())
        .finally(leave);
      return { kind: "streamed" };
    },

    "files.delete": async (request) => {
      const row = await seen(request, "write");
      const { caller } = request;
      await database.tenant(scopeOf(caller), async (tx) => {
        const log =
          row.thread_id === null ? undefined : await lockLog(tx, world, caller, fromUuid("thread", row.thread_id));
        if (log === undefined) await holdRights(tx, caller);
        if (!(await deleteFile(tx, row.organization_id, row.id))) throw noFile();
        await deleteBlob(tx, row.organization_id, row.blob_id);
        log?.append("file.removed", null, { file_id: fromUuid("file", row.id) });
        await log?.save(world.feed);
      });
      return undefined;
    },
  };

  async function addToThread(tx: Transaction, caller: Caller, id: ThreadId, upload: Upload): Promise<File> {
    const log = await lockLog(tx, world, caller, id);
    if (log.row.archived) throw new CallboardError("thread_archived", `thread ${id} is archived`);
    const row = toRow(world, caller, upload, { agent: log.row.agent_id, thread: log.row.id });
    await insertFile(tx, row);
    const file = toFile(row);
    log.append("file.added", null, { file });
    await log.save(world.feed);
    return file;
  }
}

const noFile = () => new CallboardError("not_found", "there is no such file for this caller");

/**
 * Takes the bytes in, then writes file and answer in one commit; refused uploads leave nothing.
 *
 * @param still refuses a caller who may not upload any more, when that took its time or access has changed
 * @param write holds the caller's rights; the bytes cannot be taken in again, so it is repeated here
 */
async function keep<N extends RouteName & ("files.uploadToAgent" | "files.uploadToThread")>(
  world: World,
  request: ApiRequest<N>,
  still: (now: Caller) => Promise<unknown>,
  write: (tx: Transaction, caller: Caller, upload: Upload) => Promise<File>,
): Promise<Sent<N>> {
  const organization = toUuid(request.caller.organizationId);
  const startedMs = performance.now();
  const upload = await takeIn(world, request, organization);
  const { name, mediaType: type, stored } = upload;
  let kept = false;
  try {
    let caller = await callerAfter(world.authenticator, request.caller, startedMs);
    const work = async (tx: Transaction) => {
      await completeBlob(tx, organization, stored.blob);
      const file = await write(tx, caller, upload);
      tx.after(() => {
        kept = true;
      });
      return file as never;
    };
    for (const attempts = new Attempts(); ; ) {
      try {
        if (caller !== request.caller) await still(caller);
        return await request.once(work, [name, type, stored.sha256]);
      } catch (error) {
        if (!(error instanceof StaleAccess)) throw error;
        await attempts.again();
        caller = await world.authenticator.refresh(caller);
      }
    }
  } finally {
    if (!kept) await deleteBlob(world.database, organization, stored.blob).catch(() => undefined); // else the sweep
  }
}

function takeIn(
  world: World,
  request: ApiRequest<"files.uploadToAgent" | "files.uploadToThread">,
  organization: string,
): Promise<Upload> {
  const body = request.body as UploadFile | undefined;
  if (body !== undefined) {
    const bytes = Buffer.from(body.content_base64, "base64");
    const one = (async function* () {
      yield bytes;
    })();
    return storeBytes(world.database, organization, one, world.maxFileBytes).then((stored) => ({
      name: body.name,
      mediaType: body.media_type,
      stored,
    }));
  }
  return takePart(request.incoming, world.maxFileBytes, {
    take: async (stream, part) => ({
      ...part,
      stored: await storeBytes(world.database, organization, stream, world.maxFileBytes),
    }),
    undo: ({ stored }) => deleteBlob(world.database, organization, stored.blob),
  });
}

function toRow(
  world: World,
  caller: Caller,
  upload: Upload,
  place: { agent: string | null; thread: string | null },
): FileRow {
  return {
    organization_id: toUuid(caller.organizationId),
    id: toUuid(newId("file")),
    agent_id: place.agent,
    thread_id: place.thread,
    run_id: null,
    call_id: null,
    kind: "attachment",
    name: upload.name,
    media_type: upload.mediaType,
    size_bytes: upload.stored.sizeBytes,
    sha256: upload.stored.sha256,
    blob_id: upload.stored.blob,
    created_by_kind: caller.kind,
    created_by_id: toUuid(principalId(caller)),
    created_at: world.now().toISOString(),
  };
}
