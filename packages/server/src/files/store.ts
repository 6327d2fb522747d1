/** SQL of files. */
import { type File, fromUuid } from "@callboard/protocol";
import { type Sql, statement } from "../storage/index.ts";

export type FileRow = {
  organization_id: string;
  id: string;
  agent_id: string | null;
  thread_id: string | null;
  run_id: string | null;
  call_id: string | null;
  kind: "attachment" | "artifact";
  name: string;
  media_type: string;
  size_bytes: number;
  sha256: string;
  blob_id: string;
  created_by_kind: "user" | "service";
  created_by_id: string;
  created_at: string;
};

const columns = `organization_id, id, agent_id, thread_id, run_id, call_id, kind, name, media_type, size_bytes, sha256,
  blob_id, created_by_kind, created_by_id, created_at`;

export function toFile(row: FileRow): File {
  return {
    id: fromUuid("file", row.id),
    thread_id: row.thread_id === null ? null : fromUuid("thread", row.thread_id),
    kind: row.kind,
    name: row.name,
    media_type: row.media_type,
    size_bytes: row.size_bytes,
    sha256: row.sha256,
    run_id: row.run_id === null ? null : fromUuid("run", row.run_id),
    created_at: row.created_at,
  };
}

const insert = statement(
  "files.insert",
  `insert into files (${columns}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
);
export async function insertFile(sql: Sql, row: FileRow): Promise<void> {
  await sql.run(insert, [
    row.organization_id,
    row.id,
    row.agent_id,
    row.thread_id,
    row.run_id,
    row.call_id,
    row.kind,
    row.name,
    row.media_type,
    row.size_bytes,
    row.sha256,
    row.blob_id,
    row.created_by_kind,
    row.created_by_id,
    row.created_at,
  ]);
}

const get = statement("files.get", `select ${columns} from files where organization_id = $1 and id = $2`);
export function findFile(sql: Sql, organization: string, id: string): Promise<FileRow | undefined> {
  return sql.row<FileRow>(get, [organization, id]);
}

const lock = statement(
  "files.lock",
  `select ${columns} from files where organization_id = $1 and id = any($2::uuid[]) order by id for update`,
);
/** Files by id, locked; absent ones are left out. */
export function lockFiles(sql: Sql, organization: string, ids: readonly string[]): Promise<FileRow[]> {
  return sql.rows<FileRow>(lock, [organization, ids]);
}

const move = statement(
  "files.move",
  "update files set thread_id = $3 where organization_id = $1 and id = any($2::uuid[]) and thread_id is null",
);
/** Moves files that were uploaded before their thread existed. @returns how many moved */
export function moveFiles(sql: Sql, organization: string, ids: readonly string[], thread: string): Promise<number> {
  return sql.run(move, [organization, ids, thread]);
}

const list = statement(
  "files.list",
  `select ${columns} from files
    where organization_id = $1 and thread_id = $2 and ($3::text is null or kind = $3) and ($4::uuid is null or id < $4)
    order by id desc limit $5`, // files_thread
);
/** A thread's files, newest first. */
export function listFiles(
  sql: Sql,
  organization: string,
  thread: string,
  kind: string | null,
  before: string | null,
  limit: number,
): Promise<FileRow[]> {
  return sql.rows<FileRow>(list, [organization, thread, kind, before, limit]);
}

const written = statement(
  "files.written_by_call",
  `select ${columns} from files where organization_id = $1 and call_id = $2 and name = $3`, // files_call
);
/** What a tool call wrote under a name, if it did. */
export function findWritten(sql: Sql, organization: string, call: string, name: string): Promise<FileRow | undefined> {
  return sql.row<FileRow>(written, [organization, call, name]);
}

const remove = statement("files.delete", "delete from files where organization_id = $1 and id = $2");
/** @returns false when it was gone already */
export async function deleteFile(sql: Sql, organization: string, id: string): Promise<boolean> {
  return (await sql.run(remove, [organization, id])) === 1;
}
