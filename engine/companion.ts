// The programs that bricks run beside the engine: started with it, started anew when they fail, ended with it.
//
// A companion reads its brick's packets from one pipe and sends them back by another. Whatever becomes of it, the engine
// goes on: while it is not there, what it would get is dropped (no_reader), or waits in a source that can pause.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { errorText } from './errors.ts';
import { LineWriter } from './line_writer.ts';
import type { PlannedCompanion } from './plan.ts';
import { report } from './reports.ts';

/** A program and its arguments. */
export type Command = readonly [string, ...string[]];

/** What a companion needs to know. */
export interface CompanionSetup {
  /** In reports: `brick "Script" (e0.script0)`. */
  readonly what: string;
  readonly engine: string;
  readonly command: Command;
  readonly restarts: boolean;
  /** How often a program has attached to the second of its pipes. */
  attaches(): number;
  /** Called when it will not be started again: nobody needs to wait for it. */
  giveUp(): void;
}

/** How long it waits before it starts a program anew: 0.1 s, doubled for each failure in a row. */
const pauseMs = 100;
/** So many failures in a row are the end; a program that has run for a while fails for the first time. */
const failuresMax = 5;
const longRunMs = 10_000;
/** How long a program has to end by itself when its pipes have ended, then on SIGTERM; and its output, when it has ended. */
const graceMs = 2000;
/** More lines a second of what it prints are left out. */
const linesPerSecondMax = 1000;
/** In its environment: the engine's process, without which it has nothing to do. */
export const companionOf = 'BRICKS_COMPANION_OF';

/** There is no stream where descriptors have run out; the child then says so by "error". */
function takeLines(stream: Readable | null, take: (line: string) => void): void {
  const lines = new LineWriter(take);
  stream?.on('data', (bytes: Uint8Array) => lines.add(bytes));
  stream?.on('end', () => lines.flush());
}

/** The command of a planned companion. Throws what its brick has against it. */
export function companionCommand({ node, name }: PlannedCompanion): Command {
  const { companion } = node.descriptor;
  if (companion === undefined) throw new Error(`${node.descriptor.name} has no companion`);
  return companion.command(node.options, { from: `${name}}0`, to: `${name}}1` }, node.outputs.length);
}

/** Companions whose program has not ended yet. */
const running = new Map<Companion, Promise<void>>();

/** Until the programs of stopped engines have ended, and all they printed has been reported. */
export async function companionsEnded(): Promise<void> {
  await Promise.all([...running].filter(([companion]) => companion.isStopped).map(([, ended]) => ended));
}

/** A program beside an engine. */
export class Companion {
  readonly #setup: CompanionSetup;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #attachesBefore = 0;
  #stopped = false;
  #isCancelled = false;
  #printedSecond = 0;
  #printedLines = 0;

  get isStopped(): boolean {
    return this.#stopped;
  }

  constructor(setup: CompanionSetup) {
    this.#setup = setup;
    this.#start();
  }

  /**
   * Its pipes have ended: it ends by itself, or is ended. Returns at once. One that has not begun is ended here and now:
   * it would attach to the pipes of the engine's next start, which are another program's.
   */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#isCancelled = this.#setup.attaches() === this.#attachesBefore;
    if (this.#isCancelled) this.#child?.kill('SIGKILL');
    else this.#endBy('SIGTERM');
  }

  #endBy(signal: 'SIGTERM' | 'SIGKILL'): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#timer = setTimeout(() => {
      child.kill(signal);
      if (signal === 'SIGTERM') this.#endBy('SIGKILL');
    }, graceMs);
    this.#timer.unref();
  }

  #start(): void {
    const [program, ...args] = this.#setup.command;
    const started = performance.now();
    // A process group of its own: Ctrl-C on the terminal is for the engine, which then ends its pipes.
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
        env: { ...process.env, [companionOf]: String(process.pid) },
      });
    } catch (error) {
      this.#failed(errorText(error), false);
      return;
    }
    this.#child = child;
    this.#attachesBefore = this.#setup.attaches();
    let failure: string | undefined;
    let lastLine: string | undefined; // of standard error: says why it failed
    takeLines(child.stdout, (text) => this.#print(text));
    takeLines(child.stderr, (text) => {
      if (/heap out of memory/.test(text)) failure = 'out of memory';
      if (text !== '') lastLine = text;
    });
    child.on('error', (error) => {
      failure = error.message;
    });
    let ended = (): void => {};
    running.set(
      this,
      new Promise((resolve) => {
        ended = resolve;
      }),
    );
    // A process that it has left behind may hold its output open for ever: "close" does not wait for that. Where this
    // thread was busy all the time, what there is to read comes first: after timers, before what is immediate.
    const destroyOutput = (): void => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    child.on('exit', () => {
      setTimeout(() => setImmediate(destroyOutput), graceMs).unref();
    });
    child.on('close', (status, signal) => {
      this.#child = undefined;
      running.delete(this);
      ended();
      clearTimeout(this.#timer);
      const how = signal === null ? `ended with status ${status}` : `was ended by ${signal}`;
      const problem = failure ?? lastLine ?? how;
      if (this.#stopped) {
        if (status !== 0 && !this.#isCancelled) this.#report('fault', `${this.#setup.what}: ${problem}`);
        return;
      }
      if (performance.now() - started > longRunMs) this.#failures = 0;
      this.#failed(problem, status === 0);
    });
  }

  #failed(problem: string, isDone: boolean): void {
    this.#failures++;
    if (this.#setup.restarts && !isDone && this.#failures < failuresMax) {
      const ms = pauseMs * 2 ** (this.#failures - 1);
      this.#report('fault', `${this.#setup.what}: ${problem}; starting it anew in ${ms / 1000} s`);
      this.#timer = setTimeout(() => this.#start(), ms);
      this.#timer.unref();
      return;
    }
    this.#setup.giveUp();
    this.#report(
      'fault',
      `${this.#setup.what}: ${problem}; its packets are dropped (no_reader), stop and start the engine`,
    );
  }

  /** A program that prints for ever must not fill the log: so many lines a second, and how many there were besides. */
  #print(text: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#printedSecond) {
      const leftOut = this.#printedLines - linesPerSecondMax;
      if (leftOut > 0) this.#report('output', `... ${leftOut} lines left out: at most ${linesPerSecondMax} a second`);
      this.#printedSecond = second;
      this.#printedLines = 0;
    }
    if (++this.#printedLines <= linesPerSecondMax) this.#report('output', text);
  }

  #report(kind: 'fault' | 'output', text: string): void {
    report({ engine: this.#setup.engine, kind, text });
  }
}
