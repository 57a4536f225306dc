// Programs of others under bricks-run, each at a pipe that an engine of this process feeds from a capture.
import assert from 'node:assert/strict';
import type { SpawnOptions } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Brick, type EngineStats, openPipeWriter, type PipeWriter, PktEngine } from '../../index.ts';
import { formatCapture, type Packet, readCapture } from './capture.ts';
import { engineName } from './engines.ts';
import { demoCapture, makeFolder } from './files.ts';
import { type Program, run, start } from './programs.ts';
import { runProgram } from './readers.ts';

/** The device that programs capture from. */
export const device = 'run}0';

/** The pipe, what feeds it, and programs that read it. */
export class PipeBed {
  readonly folder: string;
  readonly #t: TestContext;
  #engine: PktEngine | undefined;

  constructor(t: TestContext) {
    this.#t = t;
    this.folder = makeFolder(t);
    process.env.BRICKS_RUNTIME_DIR = this.folder;
    t.after(() => this.stop());
  }

  /** Starts an engine that waits for the pipe's reader, then feeds it `source`. */
  feed(source = `pcap:${demoCapture}`): void {
    this.#start(source, 'run{0?wait=1');
  }

  /** Starts an engine that sends on what the test writes, once the pipe has a reader; returns the writer. */
  async relay(): Promise<PipeWriter> {
    this.#start('relay}0', 'run{0?wait=1');
    return openPipeWriter('relay}0');
  }

  /** Starts an engine that writes to `file` what an application writes to the pipe. */
  collect(file: string): void {
    this.#start(device, `pcap:${file}`);
  }

  #start(input: string, output: string): void {
    this.#engine = new PktEngine(engineName());
    this.#engine.link(new Brick('Dummy').connectInput(input).connectOutput(output)).start();
  }

  /** Waits until everything is read. */
  async delivered(): Promise<void> {
    assert.equal(await this.#engine?.wait(30), true, 'the program reads everything within 30 s');
  }

  /** How many packets the engine has received. */
  received(): number {
    return this.#engine?.stats().rxPackets ?? 0;
  }

  /** The counters of the engine. */
  stats(): EngineStats {
    return this.#engine?.stats() ?? assert.fail('no engine');
  }

  /** Stops the engine: the stream's end. */
  stop(): void {
    if (this.#engine?.isRunning) this.#engine.stop();
    this.#engine?.delete();
    this.#engine = undefined;
  }

  /** Starts a program by bricks-run, in a place where it may leave files. */
  run(line: readonly string[], options: SpawnOptions = {}): Program {
    return start(this.#t, runProgram, line, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  }

  /** Feeds it the capture, to the end of the stream; returns what it printed to standard output. */
  async runToEnd(line: readonly string[], status = 0): Promise<string> {
    this.feed();
    const program = this.run(line);
    await this.delivered();
    this.stop();
    assert.deepEqual(await program.ended(), { code: status, signal: null }, program.output());
    return program.stdout();
  }

  /** Feeds the capture to a program that ends by itself, whatever is left; returns what it printed to standard output. */
  async runAsLongAsItLikes(line: readonly string[]): Promise<string> {
    this.feed();
    const program = this.run(line);
    assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.output());
    this.stop();
    return program.stdout();
  }

  /** What a program prints without bricks-run, in the same place. */
  runAlone(command: string, ...args: readonly string[]): string {
    return run('sh', ['-c', 'cd "$0" && exec "$@"', this.folder, command, ...args]);
  }

  path(name: string): string {
    return join(this.folder, name);
  }
}

/** The demo capture as if it were recorded from now on, for programs that take old packets for errors. */
export function recentCapture(): Buffer {
  const packets = readCapture(demoCapture).packets;
  const shift = BigInt(Date.now() + 2000) * 1_000_000n - (packets[0]?.timestampNs ?? 0n);
  return formatCapture(packets.map((packet): Packet => ({ ...packet, timestampNs: packet.timestampNs + shift })));
}

/** Sorted lines. */
export function sortedLines(text: string): string[] {
  return text.trimEnd().split('\n').sort();
}
