// Commands that scripts run in the shell: started, awaited, and ended with everything they have started themselves.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A command on its way. */
export interface ShellProcess {
  readonly child: ChildProcess;
  /** Rejects when there is no shell. */
  readonly ended: Promise<ProcessEnd>;
  /** Ends the shell and its descendants: many shells do not pass a signal on. */
  kill(): void;
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    // It has ended, or this kernel does not tell.
    return [];
  }
}

function killTree(pid: number): void {
  const children = childrenOf(pid);
  try {
    process.kill(pid);
  } catch {
    // It has ended meanwhile.
  }
  for (const child of children) killTree(child);
}

/** Those that nobody has awaited yet: they end with this process. */
const running = new Set<ShellProcess>();
process.on('exit', () => {
  for (const { kill } of running) kill();
});

/** Starts a command. It stays in this process's group and session: it sees the terminal and Ctrl-C. */
export function startShell(command: string, stdio: StdioOptions): ShellProcess {
  const child = spawn('/bin/sh', ['-c', command], { stdio });
  const started: ShellProcess = {
    child,
    ended: new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        running.delete(started);
        resolve({ code, signal });
      });
    }),
    kill: () => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) killTree(child.pid);
    },
  };
  running.add(started);
  // Whoever awaits it sees the error; one that nobody awaits must not end this program.
  started.ended.catch(() => {});
  return started;
}

/** What a shell reports of a process: its status, or 128 and the number of the signal that ended it. */
export function shellStatus({ code, signal }: ProcessEnd): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
