/**
 * The commands that are a server and take nothing: they run without the rest of the program, so that a server that
 * starts reads none of what talks to one.
 */
import { existsSync } from "node:fs";

export const servers = {
  async dev(): Promise<void> {
    // Only here: a server in production gets its settings from whoever runs it.
    if (existsSync(".env")) process.loadEnvFile(".env");
    const { startDev } = await import("@callboard/server");
    await startDev();
  },
  async serve(): Promise<void> {
    const { startServe } = await import("@callboard/server");
    await startServe();
  },
};

/** The server that the command line asks for and says no more about; help and mistakes are the program's. */
export function serverOf([, , name = "", ...rest]: readonly string[]): (() => Promise<void>) | undefined {
  return rest.length === 0 && Object.hasOwn(servers, name) ? servers[name as keyof typeof servers] : undefined;
}
