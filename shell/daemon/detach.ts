// Detaching: the starting command starts the daemon as a process of its own, waits until it says how its start went,
// and leaves it running. Called by start.ts on both sides.
//
// They talk over a pipe whose descriptor is in BRICKS_START_FD: lines of JSON, what the start-up script prints and at last
// the report, then it is closed.
import { spawn } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { logFileMode, unwritable } from './log.ts';

/** Standard output and standard error. */
export type OutputStream = 'out' | 'err';

const variable = 'BRICKS_START_FD';

/** How a start went. */
export type StartReport =
  /** The daemon runs. `note` says what else there is to know. */
  | { readonly kind: 'ready'; readonly pid: number; readonly note?: string }
  /** It ends. `status` is 0 where it was asked to; `text` is for the user, of one or more lines. */
  | { readonly kind: 'ended'; readonly status: number; readonly text: string };

type StartMessage = StartReport | { readonly kind: 'output'; readonly stream: OutputStream; readonly text: string };

/** The daemon's side: tells the starting command, once. */
export class Starter {
  /** True where a starting command waits, and this process has no terminal. */
  readonly isDetached: boolean;
  #fd: number | undefined;

  constructor() {
    const fd = process.env[variable];
    delete process.env[variable];
    this.isDetached = fd !== undefined;
    this.#fd = fd === undefined ? undefined : Number(fd);
  }

  /** Shows the user a line while the start goes on. */
  print(stream: OutputStream, text: string): void {
    this.#write({ kind: 'output', stream, text });
  }

  report(report: StartReport): void {
    this.#write(report);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(message: StartMessage): void {
    try {
      if (this.#fd !== undefined) writeSync(this.#fd, `${JSON.stringify(message)}\n`);
    } catch {
      // The starting command has gone meanwhile, or does not read.
    }
  }
}

function openLog(file: string): number {
  try {
    return openSync(file, 'a', logFileMode);
  } catch (error) {
    throw unwritable(file, error);
  }
}

/** Shows what comes, up to the report; undefined where the daemon ends without one. */
async function readReport(pipe: NodeJS.ReadableStream | null | undefined): Promise<StartReport | undefined> {
  if (!pipe) return undefined;
  for await (const line of createInterface({ input: pipe })) {
    const message = JSON.parse(line) as StartMessage;
    if (message.kind !== 'output') return message;
    (message.stream === 'out' ? process.stdout : process.stderr).write(`${message.text}\n`);
  }
  return undefined;
}

/**
 * The starting command's side: starts this program again with the same arguments, detached, and waits for its report.
 * What Node itself says of a crash goes to the log file as well.
 */
export async function startDetached(logFile: string): Promise<StartReport> {
  const log = openLog(logFile);
  const [program = '', ...args] = process.argv.slice(1);
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    detached: true,
    stdio: ['ignore', log, log, 'pipe'],
    env: { ...process.env, [variable]: '3' },
  });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(signal === null ? `status ${code}` : `signal ${signal}`));
  });
  // The daemon is in a session of its own: what the terminal sends comes here only.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGTERM'));
  const report = await readReport(child.stdio[3] as NodeJS.ReadableStream | null | undefined);
  if (report === undefined) {
    const problem = `the daemon ended during its start, ${await ended}; ${logFile} may say why`;
    return { kind: 'ended', status: 1, text: problem };
  }
  // Whoever is told of that may start the next one at once: it must not find this one's files and lock.
  if (report.kind === 'ended') await ended;
  else child.unref();
  return report;
}
