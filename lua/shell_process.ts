// Commands that scripts run in the shell: started, awaited, and ended with everything they have started themselves.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { errorText } from '../engine/errors.ts';
import { LuaCallError } from './call_error.ts';
import { isAlive, killRest, type ProcessId, signalProcesses, treeOf } from './process_tree.ts';
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

/** What scripts may have running at once: more would take all processes and descriptors of the system. */
const commandsMax = 64;

/** The kernel takes no longer argument. */
const commandBytesMax = 128 * 1024 - 1;

/** How long a command that was told to end may take until it is killed, and how long when this program ends. */
const graceMs = 2000;
const lastGraceMs = 1000;
const pollMs = 10;

/** Those that have not ended. */
const running = new Set<ChildProcess>();

function processesOf(child: ChildProcess): ProcessId[] {
  const hasEnded = child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  return hasEnded || child.pid === undefined ? [] : treeOf(child.pid);
}

/** Ends a command and what it has started: what does not heed that is killed. */
function endCommand(child: ChildProcess): void {
  const processes = processesOf(child);
  signalProcesses(processes, 'SIGTERM');
  setTimeout(() => killRest(processes), graceMs).unref();
}

/** Ends all commands: resolves once they have ended, which those that do not heed it are forced to. */
export async function endCommands(): Promise<void> {
  const commands = [...running];
  const processes = commands.flatMap(processesOf);
  signalProcesses(processes, 'SIGTERM');
  const isLeft = (): boolean => processes.some(isAlive) || commands.some((command) => running.has(command));
  const endMs = performance.now() + lastGraceMs;
  while (isLeft() && performance.now() < endMs) await delay(pollMs);
  killRest(processes);
}

// The last resort: whoever ends this program calls endCommands() before.
process.on('exit', () => {
  signalProcesses([...running].flatMap(processesOf), 'SIGKILL');
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

function checkCommand(command: string): void {
  if (command.includes('\0')) throw new LuaCallError('a command cannot hold a byte 0; write such data to a file');
  const bytes = Buffer.byteLength(command);
  if (bytes > commandBytesMax) {
    const limit = `the system takes ${commandBytesMax}; write it to a file and run that`;
    throw new LuaCallError(`a command of ${bytes} bytes; ${limit}`);
  }
  if (running.size >= commandsMax) {
    throw new LuaCallError(`${commandsMax} commands are running, more are refused; wait for one: file:close()`);
  }
}

/** The error of a command that could not be started. Lua sees the system's number of it. */
function startError(error: unknown): Error {
  const failure = new LuaCallError(`cannot start a command: ${errorText(error)}`);
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  return Object.assign(failure, { errno });
}

/**
 * Starts a command for a chunk, with a pipe for one of its streams or none. It stays in this process's group and session:
 * where it has the terminal, it sees Ctrl-C.
 */
export function startShell(command: string, task: Task, piped?: Piped): ShellProcess {
  checkCommand(command);
  let child: ChildProcess;
  try {
    child = spawn('/bin/sh', ['-c', command], { stdio: streamsFor(task, piped) });
  } catch (error) {
    throw startError(error);
  }
  running.add(child);
  const forwarding = new Forwarding(child, piped, task);
  const exit = new Promise<ProcessEnd>((resolve, reject) => {
    child.on('error', (error) => {
      if (child.pid === undefined) running.delete(child);
      reject(startError(error));
    });
    child.on('exit', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  const started: ShellProcess = {
    child,
    ended: exit.then(async (end) => {
      await forwarding.finish();
      return end;
    }),
    kill: () => endCommand(child),
  };
  // Whoever awaits it sees the error; one that nobody awaits must not end this program.
  started.ended.catch(() => {});
  return started;
}

/** What a shell reports of a process: its status, or 128 and the number of the signal that ended it. */
export function shellStatus({ code, signal }: ProcessEnd): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
