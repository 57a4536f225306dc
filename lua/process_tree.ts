// A process with all that it has started itself, as /proc shows them: to be ended, gently at first.
import { readFileSync } from 'node:fs';

/** A process, not another one that has its number later. */
export interface ProcessId {
  readonly pid: number;
  /** When it started, as the kernel counts. */
  readonly started: string;
}

/** When the process started; undefined where it has ended, even if nobody has asked for its status yet. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before may hold anything, brackets and spaces too. Counted from the state, the start is the 20th field.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    // It has ended, or this kernel does not tell.
    return [];
  }
}

/** The process that has this number now; undefined where none has. */
export function processOf(pid: number): ProcessId | undefined {
  const started = startOf(pid);
  return started === undefined ? undefined : { pid, started };
}

/** The process and its descendants; what has ended is left out. */
export function treeOf(pid: number): ProcessId[] {
  const process = processOf(pid);
  return process === undefined ? [] : [process, ...childrenOf(pid).flatMap(treeOf)];
}

export function isAlive({ pid, started }: ProcessId): boolean {
  return startOf(pid) === started;
}

/** Sends a signal to those that are still there. */
export function signalProcesses(processes: readonly ProcessId[], signal: 'SIGTERM' | 'SIGKILL'): void {
  for (const each of processes) {
    try {
      if (isAlive(each)) process.kill(each.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Kills what is left of the processes, with what they have started since. */
export function killRest(processes: readonly ProcessId[]): void {
  signalProcesses(
    processes.filter(isAlive).flatMap(({ pid }) => treeOf(pid)),
    'SIGKILL',
  );
}
