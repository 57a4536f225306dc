// Commands that scripts run in the shell: started, awaited, and ended with everything they have started themselves.
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Task } from './task.ts';

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A command on its way. */
export interface ShellProcess {
  readonly child: ChildProcess;
  /** Once it has ended and what it printed was taken; rejects when there is no shell. */
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

/** How long a command that has ended has to be silent, where a process that it left behind keeps its streams open. */
const silenceMs = 50;

/** Gives what a command prints to the output of the chunk that runs it, no faster than that is read. */
class Forwarding {
  readonly #task: Task;
  readonly #done: Promise<unknown>;
  readonly #streams: Readable[] = [];
  #isDone = false;
  /** Pieces taken so far. */
  #pieces = 0;
  /** Streams that wait for the output's reader. */
  #waiting = 0;

  constructor({ stdout, stderr }: ChildProcess, piped: Piped | undefined, task: Task) {
    this.#task = task;
    const { output } = task;
    const forwards: Promise<void>[] = [];
    const add = (stream: Readable | null, write: (bytes: Uint8Array) => void): void => {
      if (stream === null) return;
      this.#streams.push(stream);
      forwards.push(this.#forward(stream, write));
    };
    if (piped !== 'stdout') add(stdout, (bytes) => output.out(bytes));
    add(stderr, (bytes) => output.err(bytes));
    this.#done = Promise.allSettled(forwards).then(() => {
      this.#isDone = true;
    });
  }

  async #forward(stream: Readable, write: (bytes: Uint8Array) => void): Promise<void> {
    for await (const bytes of stream as AsyncIterable<Uint8Array>) {
      this.#pieces++;
      // What outlives the chunk may print: nobody reads it.
      if (this.#task.isOver) continue;
      write(bytes);
      this.#waiting++;
      await this.#task.output.room?.();
      this.#waiting--;
    }
  }

  /** Once the command has ended: settles when everything that it printed was given on. */
  async finish(): Promise<void> {
    let pieces: number;
    do {
      pieces = this.#pieces;
      await Promise.race([this.#done, delay(silenceMs, undefined, { ref: false })]);
    } while (!this.#isDone && !this.#task.isOver && (this.#waiting > 0 || this.#pieces !== pieces));
    // What is left behind does not keep this program alive.
    for (const stream of this.#streams) if (stream instanceof Socket) stream.unref();
  }
}

/** The stream of a command that a file handle is for. */
export type Piped = 'stdin' | 'stdout';

/** The others are this process's own where the output is; else there is no input, and the output takes what is printed. */
function streamsFor({ output }: Task, piped: Piped | undefined): StdioOptions {
  return (['stdin', 'stdout', 'stderr'] as const).map((name) => {
    if (name === piped) return 'pipe';
    if (output.isProcessOutput) return 'inherit';
    return name === 'stdin' ? 'ignore' : 'pipe';
  });
}

/**
 * Starts a command for a chunk, with a pipe for one of its streams or none. It stays in this process's group and session:
 * where it has the terminal, it sees Ctrl-C.
 */
export function startShell(command: string, task: Task, piped?: Piped): ShellProcess {
  const child = spawn('/bin/sh', ['-c', command], { stdio: streamsFor(task, piped) });
  const forwarding = new Forwarding(child, piped, task);
  const exit = new Promise<ProcessEnd>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      running.delete(started);
      resolve({ code, signal });
    });
  });
  const started: ShellProcess = {
    child,
    ended: exit.then(async (end) => {
      await forwarding.finish();
      return end;
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
