// Loaded into a measured server: on SIGUSR2 it collects all garbage and writes what it holds then, in bytes, to the
// file HELD_FILE names. Resident memory says how far a heap has grown, which is mostly what nobody holds any more.
import { renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const file = process.env.HELD_FILE;
if (file !== undefined) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  process.on("SIGUSR2", async () => {
    for (let i = 0; i < 3; i++) {
      collect();
      await sleep(20); // what is finalized is collected with the next one
    }
    const { heapUsed, external } = process.memoryUsage();
    writeFileSync(`${file}.part`, String(heapUsed + external));
    renameSync(`${file}.part`, file);
  });
}
