/** What the command line ends with. */
export const exitCode = {
  /** The server refused, could not be reached, or a file could not be read or written. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** The run that was followed failed or was canceled. */
  runFailed: 3,
  /** `plan` found that the server's agents are not what the files say. */
  changes: 4,
  /** Ctrl-C: 128 + SIGINT. */
  interrupted: 130,
} as const;
