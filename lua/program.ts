// What the program around the interpreter offers to scripts. lua/ imports nothing of the shell: it is handed in.

/** The log of a program, and its dashboard. */
export interface ProgramControls {
  /** The levels there are, from the most talkative on. */
  readonly logLevels: readonly string[];
  /** Takes one of {@link logLevels}. */
  setLogLevel(level: string): void;
  getLogLevel(): string;
  /** Writes a line; `level` is one of {@link logLevels}. */
  log(level: string, text: string): void;
}
