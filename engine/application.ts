// The application at the other end of a pipe: which process it is, and the name of its program. Called by counters.ts.
import { readFileSync } from 'node:fs';

export interface Application {
  readonly pid: number;
  /** As /proc/PID/comm has it; "unknown" where that cannot be seen. */
  readonly program: string;
}

/** The process now; `before` is what was found the last time, which is kept where it is the same process. */
export function applicationOf(pid: number, before: Application | undefined): Application | undefined {
  if (pid === 0) return undefined;
  return before?.pid === pid ? before : { pid, program: programName(pid) };
}

function programName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It is gone, or belongs to a container that we do not see into.
    return 'unknown';
  }
}
