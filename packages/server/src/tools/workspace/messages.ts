/** What a workspace's thread and the server say to each other. */

/** Given to the thread when it starts. */
export type Job = {
  command: string;
  /** Files that can be read, by their place; their bytes are asked for when they are read. */
  files: readonly string[];
  /** Bytes that all files may hold at once. */
  maxFileBytes: number;
  maxOutputChars: number;
  maxOutFiles: number;
};

export type ToServer = { type: "read"; path: string } | { type: "done"; result: ShellResult };
export type ToThread = { type: "content"; path: string; bytes: Uint8Array | null };

export type ShellResult = {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** What the command wrote under /out. */
  written: Array<{ name: string; bytes: Uint8Array }>;
  /** Places under /out that cannot become files of the thread. */
  leftOut: string[];
};
