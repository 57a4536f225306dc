// Runs other programs in tests: waits for what they print, bounds every wait, ends them when the test ends.
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../package_info.ts';

/** No wait of a test is longer. */
export const waitMs = 30_000;

/** The project's folder. */
export const projectFolder = `${packageRoot}/`;

/** How a program ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running program. */
export interface Program {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  /** Everything printed so far, both streams. */
  output(): string;
  /** Standard output so far. */
  stdout(): string;
  /** Waits until the output matches. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  /** Waits until it has ended; fails after the limit. */
  ended(): Promise<Exit>;
  /** Sends SIGINT, waits for the end. */
  interrupt(): Promise<Exit>;
}

/** Where test/run.sh has compiled the package and what else tests start. Without it all runs from its source. */
const compiledFolder = process.env.BRICKS_TEST_PROGRAMS;

/** What node is given to run a TypeScript file of this project. Compiled it begins with a third of the work. */
export function nodeArguments(source: string): string[] {
  if (compiledFolder === undefined) return ['--import', import.meta.resolve('tsx'), join(projectFolder, source)];
  return [join(compiledFolder, source.replace(/ts$/, 'js'))];
}

/** The command line of a program of the package: `bricks_server`. */
export function commandOf(program: string, args: readonly string[] = []): string[] {
  return ['node', ...nodeArguments(`shell/${program}.ts`), ...args];
}

/** Polls until `check` gives something; fails with `what` after the limit. */
export async function until<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + waitMs;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) assert.fail(`waited ${waitMs / 1000} s for ${what}`);
    await delay(20);
  }
}

/** Ends a whole process group; a program that is gone already is no error. */
function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Gone.
  }
}

/** Starts a program in a process group of its own; it is killed when the test `t` is over. */
export function start(
  t: Pick<TestContext, 'after'>,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Program {
  const child = spawn(command, args, { cwd: projectFolder, detached: true, ...options });
  let all = '';
  let stdout = '';
  let isEnded = false;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    all += text;
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    all += text;
  });
  const exited = new Promise<Exit>((done) => {
    child.on('error', (error) => {
      all += error.message;
      isEnded = true;
      done({ code: -1, signal: null });
    });
    child.on('close', (code, signal) => {
      isEnded = true;
      done({ code, signal });
    });
  });
  t.after(async () => {
    killGroup(child, 'SIGKILL');
    await exited;
  });
  const line = [command, ...args].join(' ').slice(0, 200);
  const ended = async (): Promise<Exit> => {
    await until(`the end of: ${line}\nit printed: ${all.slice(-2000)}`, () => isEnded);
    return exited;
  };
  return {
    child,
    exited,
    output: () => all,
    stdout: () => stdout,
    until: (pattern) =>
      until(`${pattern} from: ${line}`, () => {
        const match = pattern.exec(all);
        if (match !== null) return match;
        assert.ok(!isEnded, `${line}: ended before it printed ${pattern}:\n${all.slice(-3000)}`);
        return undefined;
      }),
    ended,
    interrupt: () => {
      killGroup(child, 'SIGINT');
      return ended();
    },
  };
}

/** Runs a program to its end and returns its standard output; fails unless it succeeds. */
export function run(command: string, args: readonly string[], input?: string): string {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    input,
    timeout: waitMs,
    maxBuffer: 1 << 28,
    cwd: projectFolder,
  });
  assert.equal(done.status, 0, `${command} ${args.join(' ')}: ${done.error?.message ?? ''} ${done.stderr}`);
  return done.stdout;
}

/** Why tests that need these programs cannot run, or false. */
export function skipWithout(...programs: readonly string[]): string | false {
  for (const program of programs) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `needs the program ${program}`;
  }
  return false;
}
