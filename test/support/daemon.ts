// The daemon and the programs that talk to it, in a runtime directory of the test's own.
import assert from 'node:assert/strict';
import { type SpawnOptions, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import type { EngineStats } from '../../index.ts';
import { type Fields, WireClient } from './control_wire.ts';
import { makeFolder } from './files.ts';
import type { Namespace } from './netns.ts';
import { commandOf, type Program, projectFolder, start, until, waitMs } from './programs.ts';

/** What things live as long as: a test, or all tests of a file. */
export type Scope = Pick<TestContext, 'after'>;

/** All tests of the file that uses it outside of tests. */
export const wholeFile: Scope = { after: (action) => after(action as () => void | Promise<void>) };

/** How a program ended, and what it printed. */
export interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of the daemon's log. */
export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly pid: number;
  readonly msg: string;
  /** Of the final statistics. */
  readonly engines?: readonly EngineStats[];
}

/** Counters as the log and the status file name them, under the names of the API. */
export function engineStats(engines: unknown): EngineStats[] {
  const text = JSON.stringify(engines).replaceAll(
    /"(rx|tx|in|output)_(p|b|f|o)(ackets|ytes|light|thers)":/g,
    (_, first: string, letter: string, rest: string) => `"${first}${letter.toUpperCase()}${rest}":`,
  );
  return JSON.parse(text) as EngineStats[];
}

/** True while the process runs; one that only waits for its parent to notice does not. */
export function isRunning(pid: number): boolean {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0];
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

/** Lines of pino. */
export function parseLog(text: string): LogLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine)
    .map((line) => (line.engines === undefined ? line : { ...line, engines: engineStats(line.engines) }));
}

/** A runtime directory, and what runs with it. Everything ends when the test `t` is over. */
export class Runtime {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #t: Scope;
  readonly #namespace: Namespace | undefined;

  constructor(t: Scope, namespace?: Namespace) {
    // Before the folder goes, which holds the process id.
    let folder = '';
    t.after(() => killDaemon(folder));
    folder = makeFolder(t);
    this.folder = folder;
    this.#t = t;
    this.#namespace = namespace;
    this.env = { ...process.env, BRICKS_RUNTIME_DIR: folder, BRICKS_HISTORY: '' };
  }

  get socket(): string {
    return join(this.folder, 'control.sock');
  }

  /** Names of the files that are there. */
  files(): string[] {
    return readdirSync(this.folder).sort();
  }

  /** A script in this folder. */
  script(source: string, name = 'script.lua'): string {
    const file = join(this.folder, name);
    writeFileSync(file, source);
    return file;
  }

  #line(program: string, args: readonly string[]): { command: string; args: string[] } {
    const [command = '', ...rest] = commandOf(program, args);
    return this.#namespace?.inside(command, ...rest) ?? { command, args: rest };
  }

  /** Runs a program of the package to its end. */
  run(program: string, args: readonly string[] = [], input: string | Buffer = '', env: NodeJS.ProcessEnv = {}): Done {
    const line = this.#line(program, args);
    const { status, stdout, stderr } = spawnSync(line.command, line.args, {
      cwd: projectFolder,
      encoding: 'utf8',
      input,
      timeout: waitMs,
      maxBuffer: 1 << 28,
      env: { ...this.env, ...env },
    });
    return { status, stdout, stderr };
  }

  /** Starts a program of the package; standard input is empty unless `options` say otherwise. */
  spawn(program: string, args: readonly string[] = [], options: SpawnOptions = {}): Program {
    const line = this.#line(program, args);
    const env = { ...this.env, ...options.env };
    return start(this.#t, line.command, line.args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, env });
  }

  /** Starts the daemon, detached; its process id. Fails unless it starts, and has nothing to complain about. */
  startDaemon(args: readonly string[] = []): number {
    const { status, stderr } = this.run('bricks_server', args);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /^bricks-server:/m);
    return this.pid();
  }

  /** Starts the daemon in the foreground and waits until it listens. Its log goes to its standard error. */
  async foreground(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Program> {
    const program = this.spawn('bricks_server', ['--foreground', ...args], { env });
    await program.until(/ listens at /);
    return program;
  }

  /** What the file with the process id says. */
  pid(): number {
    return Number(/^(\d+)\n$/.exec(readFileSync(join(this.folder, 'bricks-server.pid'), 'utf8'))?.[1]);
  }

  log(): LogLine[] {
    return parseLog(readFileSync(join(this.folder, 'bricks-server.log'), 'utf8'));
  }

  /** What the daemon has logged, one message a line. */
  logText(): string {
    return this.log()
      .map(({ msg }) => msg)
      .join('\n');
  }

  /** A client that has said hello, for as long as `t` runs. */
  client(t: Scope, hello: Fields = {}): Promise<WireClient> {
    return WireClient.open(t, this.socket, hello);
  }

  /** A client that says nothing of its own accord. */
  silentClient(t: Scope): WireClient {
    return WireClient.silent(t, this.socket);
  }

  /** Signals the daemon and waits until its process has gone. */
  async kill(signal: NodeJS.Signals, pid = this.pid()): Promise<void> {
    process.kill(pid, signal);
    await until(`process ${pid} to end`, () => !isRunning(pid));
  }
}

/** Ends the daemon whose process id is in a folder, unless that process has become another one. */
export async function killDaemon(folder: string): Promise<void> {
  const file = join(folder, 'bricks-server.pid');
  if (folder === '' || !existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  try {
    if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`BRICKS_RUNTIME_DIR=${folder}`)) return;
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
  await until(`the end of daemon ${pid}`, () => !isRunning(pid));
  rmSync(file, { force: true });
}
