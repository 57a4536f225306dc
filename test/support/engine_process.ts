// Engines in a process of their own, inside a namespace: the test's side of engine_child.ts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BrickArgument, EngineStats, LinkOptions } from '../../index.ts';
import { assertAccounting, type Wiring } from './accounting.ts';
import type { Held } from './leaks.ts';
import type { Namespace } from './netns.ts';
import { nodeArguments, type Program, start, until, waitMs } from './programs.ts';

/** How long nothing is printed before the process is looked at again. */
const momentMs = 100;

/** A brick in JSON. */
export interface BrickDescription {
  readonly type: string;
  readonly argument?: BrickArgument;
  readonly inputs?: readonly string[];
  readonly outputs?: readonly string[];
  readonly children?: readonly BrickDescription[];
}

/** An engine in JSON. */
export interface EngineDescription {
  readonly name: string;
  readonly bufferSlots?: number;
  readonly links: readonly ({ readonly brick: BrickDescription } & LinkOptions)[];
}

/** One line of the child. */
interface Message {
  readonly ready?: boolean;
  readonly started?: string;
  readonly plan?: Wiring;
  readonly stats?: EngineStats;
  readonly waited?: boolean;
  readonly stopped?: string;
  readonly deleted?: string;
  readonly held?: Held;
  readonly report?: string;
  readonly error?: string;
  readonly code?: string;
}

/** Engines that run in another process. */
export class EngineProcess {
  readonly program: Program;
  readonly #wirings = new Map<string, Wiring>();
  readonly #reports: string[] = [];
  readonly #answers: Message[] = [];
  #taken = 0;
  #readTo = 0;

  constructor(program: Program) {
    this.program = program;
  }

  /** Sorts what the process printed since the last call into answers and reports. */
  #read(): void {
    const printed = this.program.stdout();
    const end = printed.lastIndexOf('\n') + 1;
    for (const line of printed.slice(this.#readTo, end).split('\n')) {
      if (!line.startsWith('{')) continue;
      const message = JSON.parse(line) as Message;
      if (message.report === undefined) this.#answers.push(message);
      else this.#reports.push(message.report);
    }
    this.#readTo = end;
  }

  /** Waits for the next message that is no report. */
  async #next(): Promise<Message> {
    const end = performance.now() + waitMs;
    for (;;) {
      const gone = this.program.child.exitCode ?? this.program.child.signalCode;
      this.#read();
      const answer = this.#answers[this.#taken];
      if (answer !== undefined) {
        this.#taken++;
        return answer;
      }
      const printed = this.program.output().slice(-2000);
      assert.equal(gone, null, `the engine's process ended (${gone}): ${printed}`);
      if (performance.now() > end) {
        // It would answer nobody else either.
        this.program.child.kill('SIGKILL');
        assert.fail(`waited for an answer of the engine's process, which printed ${printed}`);
      }
      await this.#somethingPrinted();
    }
  }

  /** Until it prints or ends, or a moment has passed. */
  async #somethingPrinted(): Promise<void> {
    const { child, exited } = this.program;
    const over = new AbortController();
    const { signal } = over;
    const printed = child.stdout === null ? [] : [once(child.stdout, 'data', { signal })];
    await Promise.race([...printed, exited, delay(momentMs, undefined, { signal })]);
    over.abort();
  }

  async #ask(line: string): Promise<Message> {
    this.program.child.stdin?.write(`${line}\n`);
    return this.#next();
  }

  /** Waits until every engine runs; the answer is the error's text when one does not. */
  async started(): Promise<{ error: string; code: string } | undefined> {
    for (;;) {
      const message = await this.#next();
      if (message.started !== undefined && message.plan !== undefined) this.#wirings.set(message.started, message.plan);
      if (message.error !== undefined) return { error: message.error, code: message.code ?? '' };
      if (message.ready === true) return undefined;
    }
  }

  /** The reports of engine threads so far. */
  reports(): string[] {
    this.#read();
    return [...this.#reports];
  }

  /** True while the process lives. */
  get isAlive(): boolean {
    return this.program.child.exitCode === null && this.program.child.signalCode === null;
  }

  /** Processor time that the process has used, in ms. */
  cpuMs(): number {
    // proc_pid_stat(5): fields 14 and 15, behind the name in parentheses; in ticks of a hundredth of a second.
    const fields = readFileSync(`/proc/${this.program.child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Makes another engine and starts it; returns the error where it does not, and there is none then. */
  async make(description: EngineDescription): Promise<{ error: string; code: string } | undefined> {
    const { plan, error, code = '' } = await this.#ask(`make ${JSON.stringify(description)}`);
    if (error !== undefined) return { error, code };
    assert.ok(plan !== undefined);
    this.#wirings.set(description.name, plan);
    return undefined;
  }

  /** Makes engines, one after the other, each of which starts and stops so often and is deleted. */
  async cycle(description: EngineDescription, engines: number, starts: number): Promise<void> {
    const { error } = await this.#ask(`cycle ${engines} ${starts} ${JSON.stringify(description)}`);
    assert.equal(error, undefined);
  }

  /** What the process holds now. */
  async held(): Promise<Held> {
    const { held, error } = await this.#ask('held');
    assert.ok(held !== undefined, error);
    return held;
  }

  async stats(engine: string): Promise<EngineStats> {
    const { stats } = await this.#ask(`stats ${engine}`);
    assert.ok(stats !== undefined);
    return stats;
  }

  /** Polls the counters until they satisfy. */
  async statsUntil(engine: string, what: string, check: (stats: EngineStats) => boolean): Promise<EngineStats> {
    let latest: EngineStats | undefined;
    try {
      return await until(what, async () => {
        latest = await this.stats(engine);
        return check(latest) && latest;
      });
    } catch (error) {
      throw new Error(
        `${error instanceof Error ? error.message : error}; last: ${JSON.stringify(latest)}; ${this.reports()}`,
      );
    }
  }

  /** PktEngine.wait(30). */
  async wait(engine: string): Promise<boolean | undefined> {
    return (await this.#ask(`wait ${engine}`)).waited;
  }

  /** Stops an engine; checks its accounting; returns its counters. */
  async stop(engine: string): Promise<EngineStats> {
    const { stopped, error } = await this.#ask(`stop ${engine}`);
    assert.equal(stopped, engine, error);
    const stats = await this.stats(engine);
    assertAccounting(stats, this.#wirings.get(engine));
    return stats;
  }

  /** Any other command; returns the error's text if there is one. "halt" stops and deletes what there is. */
  async tell(command: 'start' | 'delete' | 'halt', engine: string): Promise<string | undefined> {
    return (await this.#ask(`${command} ${engine}`)).error;
  }

  /** Ends the process; fails unless it ends well. */
  async quit(): Promise<void> {
    this.program.child.stdin?.end('quit\n');
    const exit = await this.program.ended();
    assert.deepEqual(exit, { code: 0, signal: null }, this.program.output());
  }
}

/** Where and as whom an engine's process runs. */
export interface Place {
  readonly namespace?: Namespace;
  readonly runtimeFolder: string;
  /** A command that runs the rest as someone else: ['setpriv', ...]. */
  readonly as?: readonly string[];
  /** Added to the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts engines in a process; {@link EngineProcess.started} says how that went. */
export function startEngines(t: TestContext, place: Place, engines: readonly EngineDescription[]): EngineProcess {
  // A young generation that does not grow by up to 16 MiB when V8 sees fit: what engines leave behind is told from that.
  const node = ['node', '--max-semi-space-size=1'];
  const line = [...node, ...nodeArguments('test/support/engine_child.ts'), JSON.stringify(engines)];
  const command = [...(place.as ?? []), ...line];
  const inside = place.namespace?.inside(...command) ?? { command: command[0] ?? '', args: command.slice(1) };
  const env = { ...process.env, BRICKS_RUNTIME_DIR: place.runtimeFolder, ...place.env };
  return new EngineProcess(start(t, inside.command, inside.args, { stdio: ['pipe', 'pipe', 'pipe'], env }));
}
