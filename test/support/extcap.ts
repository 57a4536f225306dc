// tshark with pipes as its interfaces: an extcap folder of the test's own, and engines whose pipes it captures.
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { Brick, PktEngine } from '../../index.ts';
import { nativeFiles } from '../../native/build.ts';
import { type Packet, readCapture } from './capture.ts';
import { engineName } from './engines.ts';
import { makeFolder } from './files.ts';
import { readAnyCapture } from './live_bed.ts';
import { type Program, run, start } from './programs.ts';

/** The native program of the build under test. */
export const extcapProgram = join(nativeFilesFolder, nativeFiles.extcapProgram);

/** A user of tshark, whose pipes are those of this process and nobody else's. */
export class TsharkUser {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.folder = makeFolder(t);
    const runtime = { BRICKS_RUNTIME_DIR: this.folder };
    Object.assign(process.env, runtime);
    this.env = { ...process.env, ...runtime, HOME: this.folder, XDG_CONFIG_HOME: join(this.folder, '.config') };
  }

  /** The extcap folder of Wireshark to 4.0, and the one since. */
  get extcapFolders(): string[] {
    return ['.config', '.local/lib'].map((folder) => join(this.folder, folder, 'wireshark/extcap'));
  }

  /** Puts the native program where tshark looks. */
  install(): this {
    for (const folder of this.extcapFolders) {
      mkdirSync(folder, { recursive: true });
      symlinkSync(extcapProgram, join(folder, nativeFiles.extcapProgram));
    }
    return this;
  }

  /** Starts a program in that user's environment. */
  start(command: string, ...args: readonly string[]): Program {
    return start(this.#t, command, args, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts `tshark -n …`. */
  tshark(...args: readonly string[]): Program {
    return this.start('tshark', '-n', ...args);
  }

  /** Runs a program to its end; its standard output and error, whatever its status. */
  async outputOf(command: string, ...args: readonly string[]): Promise<string> {
    const program = this.start(command, ...args);
    await program.ended();
    return program.output();
  }

  /** A file in this user's folder. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** The packets of a capture that tshark has written. */
  packets(file: string): readonly Packet[] {
    return readAnyCapture(file, this.folder);
  }

  /** The packets of `capture` that tcpdump selects. */
  selected(capture: string, filter: string): readonly Packet[] {
    const file = this.path('selected.pcap');
    run('tcpdump', ['--nano', '-nr', capture, '-w', file, filter]);
    return readCapture(file).packets;
  }

  /** Starts an engine, which ends with the test. */
  engine(brick: Brick): PktEngine {
    const engine = new PktEngine(engineName());
    this.#t.after(() => {
      if (engine.isRunning) engine.stop();
      engine.delete();
    });
    return engine.link(brick).start();
  }

  /** Starts an engine that sends `capture` into the pipes, the last of which waits for its reader. */
  send(capture: string, ...pipes: readonly string[]): PktEngine {
    const outputs = pipes.map((pipe, i) => `pipe:${pipe.replace('}', '{')}${i === pipes.length - 1 ? '?wait=1' : ''}`);
    return this.engine(new Brick('Duplicator').connectInput(`pcap:${capture}`).connectOutput(...outputs));
  }
}
