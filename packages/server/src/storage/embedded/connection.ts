/** How to connect to the PostgreSQL of a data folder: `connection.json`, written once and kept. */
import { randomBytes, randomInt } from "node:crypto";
import { lstat, open, readFile, rename } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { EmbeddedPostgresError } from "./error.ts";

/** Name of the database and of its owner. */
export const NAME = "callboard";

export type Connection = { port: number; password: string };

export function urlOf({ port, password }: Connection): string {
  return `postgres://${NAME}:${password}@127.0.0.1:${port}/${NAME}`;
}

/**
 * Reads the file, or makes up a password for a folder that has no database yet.
 *
 * @throws EmbeddedPostgresError when the database is there and its password is not
 */
export async function readConnection(
  dataDir: string,
  cluster: string,
): Promise<{ port: number | undefined; password: string }> {
  const path = join(dataDir, "connection.json");
  try {
    return JSON.parse(await readFile(path, "utf8")) as Connection;
  } catch (cause) {
    if ((await lstat(cluster).catch(() => undefined)) === undefined) {
      return { port: undefined, password: randomBytes(24).toString("hex") };
    }
    throw new EmbeddedPostgresError(
      `${path} holds the password of the database beside it and cannot be read. Put the file back from a backup.`,
      cause,
    );
  }
}

/** On disk, whole, before the database that needs it exists. */
export async function writeConnection(dataDir: string, connection: Connection): Promise<void> {
  const path = join(dataDir, "connection.json");
  const text = `${JSON.stringify(connection)}\n`;
  if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}

/**
 * Below the ports that systems give to outgoing connections (Linux from 32768, others from 49152): one of those may
 * have ours for a moment, just when PostgreSQL is about to listen or comes back to its port.
 */
const LOWEST_PORT = 15_000;
const HIGHEST_PORT = 32_000;

/**
 * The port to listen on: the wanted one, else the one of last time if it is still free, else any.
 *
 * @throws EmbeddedPostgresError when the wanted port is taken
 */
export async function choosePort(wanted: number | undefined, known: number | undefined): Promise<number> {
  if (wanted !== undefined) {
    const port = await freePort(wanted);
    if (port !== undefined) return port;
    throw new EmbeddedPostgresError(`Port ${wanted} on 127.0.0.1 is taken, and PostgreSQL was told to listen on it.`);
  }
  let port = known === undefined ? undefined : await freePort(known);
  for (let tries = 0; port === undefined && tries < 20; tries++) {
    port = await freePort(randomInt(LOWEST_PORT, HIGHEST_PORT));
  }
  port ??= await freePort(0);
  if (port === undefined) throw new EmbeddedPostgresError("No TCP port is free on 127.0.0.1.");
  return port;
}

/** `port` when it is free, any free one for 0, undefined when there is none. */
function freePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? address?.port : undefined));
    });
  });
}
