// Engines in a process of their own, inside a namespace: the test's side of engine_child.ts.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { BrickArgument, EngineStats, LinkOptions } from '../../index.ts';
import { assertAccounting, type Wiring } from './accounting.ts';
import type { Namespace } from './netns.ts';
import { type Program, projectFolder, start, until } from './programs.ts';

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
  readonly report?: string;
  readonly error?: string;
  readonly code?: string;
}

/** Engines that run in another process. */
export class EngineProcess {
  readonly program: Program;
  readonly #wirings = new Map<string, Wiring>();
  #taken = 0;

  constructor(program: Program) {
    this.program = program;
  }

  #messages(): Message[] {
    const lines = this.program.stdout().split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Message);
  }

  /** Waits for the next message that is no report. */
  async #next(): Promise<Message> {
    const message = await until(
      `an answer of the engine's process, which printed ${this.program.output().slice(-2000)}`,
      () => {
        const answers = this.#messages().filter(({ report }) => report === undefined);
        const gone = this.program.child.exitCode ?? this.program.child.signalCode;
        assert.ok(
          gone === null || answers.length > this.#taken,
          `the engine's process ended (${gone}): ${this.program.output()}`,
        );
        return answers[this.#taken];
      },
    );
    this.#taken++;
    return message;
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
    return this.#messages().flatMap(({ report }) => report ?? []);
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

  /** Any other command; returns the error's text if there is one. */
  async tell(command: 'start' | 'delete', engine: string): Promise<string | undefined> {
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
}

/** Starts engines in a process; {@link EngineProcess.started} says how that went. */
export function startEngines(t: TestContext, place: Place, engines: readonly EngineDescription[]): EngineProcess {
  const line = [
    'node',
    '--import',
    'tsx',
    join(projectFolder, 'test/support/engine_child.ts'),
    JSON.stringify(engines),
  ];
  const command = [...(place.as ?? []), ...line];
  const inside = place.namespace?.inside(...command) ?? { command: command[0] ?? '', args: command.slice(1) };
  const env = { ...process.env, BRICKS_RUNTIME_DIR: place.runtimeFolder };
  return new EngineProcess(start(t, inside.command, inside.args, { stdio: ['pipe', 'pipe', 'pipe'], env }));
}
