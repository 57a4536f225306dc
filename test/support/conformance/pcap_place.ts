// The place of the pcap driver: FIFOs, through which captures come and go packet by packet.
import { closeSync, constants, existsSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { formatCapture, timed } from '../capture.ts';
import { makeFolder } from '../files.ts';
import { run } from '../programs.ts';
import type { Place } from './bed.ts';
import { Wires } from './wires.ts';

const fileHeaderBytes = 24;
const recordHeaderBytes = 16;
const readBytes = 1 << 20;
const pollMs = 1;

const isWait = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EAGAIN';

/** One direction of a wire. */
interface Fifo {
  readonly file: string;
  fd: number | undefined;
  /** Written: not taken yet. Read: not a whole record yet. */
  rest: Buffer;
  hasHeader: boolean;
}

class PcapWires extends Wires {
  readonly inputs: Fifo[] = [];
  readonly outputs: Fifo[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #bytes = Buffer.alloc(readBytes);

  constructor(t: TestContext) {
    super();
    this.#timer = setInterval(() => this.#turn(), pollMs);
    t.after(() => {
      clearInterval(this.#timer);
      for (const fifo of [...this.inputs, ...this.outputs]) closeFifo(fifo);
    });
  }

  send(wire: number, frames: readonly Buffer[]): void {
    const fifo = this.inputs[wire];
    if (fifo === undefined) throw new Error(`wire ${wire} is not attached`);
    const capture = formatCapture(timed(frames));
    fifo.rest = Buffer.concat([fifo.rest, fifo.hasHeader ? capture.subarray(fileHeaderBytes) : capture]);
    fifo.hasHeader = true;
    this.#turn();
  }

  #turn(): void {
    for (const fifo of this.inputs) {
      if (fifo?.fd === undefined || fifo.rest.length === 0) continue;
      fifo.rest = fifo.rest.subarray(attempt(() => writeSync(fifo.fd as number, fifo.rest)));
    }
    this.outputs.forEach((fifo, wire) => {
      if (fifo?.fd === undefined) return;
      const count = attempt(() => readSync(fifo.fd as number, this.#bytes, 0, readBytes, null));
      if (count === 0) return;
      fifo.rest = Buffer.concat([fifo.rest, this.#bytes.subarray(0, count)]);
      this.#takeRecords(wire, fifo);
    });
  }

  #takeRecords(wire: number, fifo: Fifo): void {
    let at = 0;
    if (!fifo.hasHeader && fifo.rest.length >= fileHeaderBytes) {
      fifo.hasHeader = true;
      at = fileHeaderBytes;
    }
    while (fifo.hasHeader && fifo.rest.length - at >= recordHeaderBytes) {
      const end = at + recordHeaderBytes + fifo.rest.readUInt32LE(at + 8);
      if (end > fifo.rest.length) break;
      this.keep(wire, fifo.rest.subarray(at + recordHeaderBytes, end));
      at = end;
    }
    fifo.rest = fifo.rest.subarray(at);
    this.wake();
  }
}

/** Bytes moved by a call that does not wait; 0 where it would. */
function attempt(call: () => number): number {
  try {
    return call();
  } catch (error) {
    if (isWait(error)) return 0;
    throw error;
  }
}

function closeFifo(fifo: Fifo): void {
  if (fifo.fd !== undefined) closeSync(fifo.fd);
  fifo.fd = undefined;
}

export class PcapPlace implements Place {
  readonly engines: Place['engines'];
  readonly wires: PcapWires;
  readonly #folder: string;

  constructor(t: TestContext) {
    this.#folder = makeFolder(t);
    this.engines = { runtimeFolder: makeFolder(t) };
    this.wires = new PcapWires(t);
  }

  port(wire: number, role: 'input' | 'output'): string {
    return `pcap:${this.#file(wire, role)}`;
  }

  portName(wire: number, role: 'input' | 'output'): string {
    return this.#file(wire, role);
  }

  /** An engine that starts writes a capture from its beginning, and reads one: FIFOs are made anew for it. */
  async attach(wires: readonly number[]): Promise<void> {
    for (const wire of wires) {
      this.#open(wire, 'input', this.wires.inputs);
      this.#open(wire, 'output', this.wires.outputs);
    }
  }

  async detach(wires: readonly number[]): Promise<void> {
    for (const wire of wires) {
      for (const fifo of [this.wires.inputs[wire], this.wires.outputs[wire]]) {
        if (fifo === undefined) continue;
        closeFifo(fifo);
        rmSync(fifo.file, { force: true });
      }
    }
  }

  leftovers(): string[] {
    return readdirSync(this.#folder).sort();
  }

  #file(wire: number, role: string): string {
    return join(this.#folder, `${role}${wire}.pcap`);
  }

  #open(wire: number, role: 'input' | 'output', fifos: Fifo[]): void {
    const file = this.#file(wire, role);
    if (existsSync(file) && fifos[wire]?.fd !== undefined) return;
    run('mkfifo', [file]);
    // For reading and writing: neither end waits for the other to come, nor sees it leave.
    const fd = openSync(file, constants.O_RDWR | constants.O_NONBLOCK);
    fifos[wire] = { file, fd, rest: Buffer.alloc(0), hasHeader: false };
  }
}
