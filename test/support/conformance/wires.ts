// The outside ends of a driver's ports: frames go in there, and those that come out are kept.
//
// RawWires are raw sockets on interfaces (wires.c); PcapWires of pcap_place.ts are FIFOs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { makeFolder } from '../files.ts';
import type { Namespace } from '../netns.ts';
import { type Program, projectFolder, run, start, waitMs } from '../programs.ts';

/** EtherType for experiments, IEEE Std 802: frames that only ask whether the way is free. */
const probeMark = Buffer.from([0x88, 0xb6]);

/** A frame that is not counted among those that come out. */
export const probeFrame = Buffer.concat([Buffer.alloc(12, 2), probeMark, Buffer.alloc(46)]);

/** Some ends, numbered. */
export abstract class Wires {
  readonly #frames: Buffer[][] = [];
  readonly #probes: number[] = [];
  readonly #counts: number[] = [];
  readonly #waiting = new Set<() => void>();

  /** Puts frames in from outside, without waiting. */
  abstract send(wire: number, frames: readonly Buffer[]): void;

  /** Frames that came out since {@link clear}. */
  frames(wire: number): readonly Buffer[] {
    return this.#frames[wire] ?? [];
  }

  /** Probes that came out since {@link clear}. */
  probes(wire: number): number {
    return this.#probes[wire] ?? 0;
  }

  /** Everything that came out since {@link reset}. */
  count(wire: number): number {
    return this.#counts[wire] ?? 0;
  }

  /** Frames sent so far that did not go in, each with its reason, since the last call. */
  async takeErrors(): Promise<string[]> {
    return [];
  }

  /** Forgets frames and probes. */
  clear(): void {
    this.#frames.length = 0;
    this.#probes.length = 0;
  }

  /** Forgets everything. */
  reset(): void {
    this.clear();
    this.#counts.length = 0;
  }

  /** Waits until `check` holds, which is looked at whenever something comes out; false after the limit. */
  async until(check: () => boolean, limitMs = waitMs): Promise<boolean> {
    const end = performance.now() + limitMs;
    while (!check()) {
      const left = end - performance.now();
      if (left <= 0) return false;
      await new Promise<void>((done) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          done();
        };
        const timer = setTimeout(wake, left);
        this.#waiting.add(wake);
      });
    }
    return true;
  }

  /** Waits until so many frames came out of a wire; fails after the limit. */
  async came(wire: number, count: number, what = 'frames'): Promise<void> {
    const there = await this.until(() => this.frames(wire).length >= count);
    assert.ok(there, `waited for ${count} ${what} out of wire ${wire}, ${this.frames(wire).length} came`);
  }

  protected keep(wire: number, frame: Buffer): void {
    this.#counts[wire] = this.count(wire) + 1;
    if (frame.subarray(12, 14).equals(probeMark)) this.#probes[wire] = this.probes(wire) + 1;
    else {
      this.#frames[wire] ??= [];
      this.#frames[wire].push(frame);
    }
  }

  protected wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

const headerBytes = 8;
let program: string | undefined;

/** Builds wires.c, once in this process. */
function wiresProgram(t: TestContext): string {
  if (program !== undefined) return program;
  const file = join(makeFolder(t), 'wires');
  const source = join(projectFolder, 'test/support/conformance/wires.c');
  run('cc', ['-O1', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-o', file, source]);
  program = file;
  return file;
}

function message(kind: string, wire: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write(kind, 0);
  header.writeUInt8(wire, 1);
  header.writeUInt32LE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** Interfaces of a namespace, by raw sockets in a process there. */
export class RawWires extends Wires {
  readonly #program: Program;
  #rest: Buffer = Buffer.alloc(0);
  #errors: string[] = [];
  #opened = 0;
  #obeyed = 0;

  constructor(t: TestContext, namespace: Namespace) {
    super();
    const { command, args } = namespace.inside(wiresProgram(t));
    this.#program = start(t, command, args, { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] });
    (this.#program.child.stdio[3] as Readable).on('data', (bytes: Buffer) => this.#take(bytes));
  }

  /** Opens the socket of a wire, anew if it is open. */
  async open(wire: number, interfaceName: string): Promise<void> {
    const before = this.#opened;
    this.#write(message('o', wire, Buffer.from(interfaceName)));
    const done = await this.until(() => this.#opened > before || this.#errors.length > 0);
    assert.deepEqual([done, this.#errors.splice(0)], [true, []], `opens ${interfaceName}`);
  }

  send(wire: number, frames: readonly Buffer[]): void {
    assert.deepEqual(this.#errors, [], 'what was sent before went out');
    this.#write(Buffer.concat(frames.map((frame) => message('s', wire, frame))));
  }

  override async takeErrors(): Promise<string[]> {
    const before = this.#obeyed;
    this.#write(message('a', 0, Buffer.alloc(0)));
    assert.ok(await this.until(() => this.#obeyed > before), 'wires.c goes through what it was told');
    return this.#errors.splice(0);
  }

  #write(bytes: Buffer): void {
    assert.equal(this.#program.child.exitCode, null, `wires.c runs: ${this.#program.output()}`);
    this.#program.child.stdin?.write(bytes);
  }

  #take(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= headerBytes) {
      const end = at + headerBytes + all.readUInt32LE(at + 4);
      if (end > all.length) break;
      this.#obey(String.fromCharCode(all.readUInt8(at)), all.readUInt8(at + 1), all.subarray(at + headerBytes, end));
      at = end;
    }
    this.#rest = all.subarray(at);
    this.wake();
  }

  #obey(kind: string, wire: number, payload: Buffer): void {
    if (kind === 'f') this.keep(wire, payload);
    else if (kind === 'o') this.#opened++;
    else if (kind === 'a') this.#obeyed++;
    else this.#errors.push(`wire ${wire}: ${payload.toString()}`);
  }
}
