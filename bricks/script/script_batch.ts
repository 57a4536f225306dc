// A batch as a script sees it: packets to look at, and a verdict for each of them.
//
// Made once by host.ts, over the batch that its pipe fills again and again; begin() starts anew, settle() makes the
// verdicts ready to be sent. The verdict of a packet is the mark in its record; a new content waits here until then.
import { abi } from '../../engine/abi.ts';
import { BricksError } from '../../engine/errors.ts';
import { Batch, batchSource, Packet, Packets } from '../../engine/pipe/batch.ts';
import { field, type PacketIndex, recordWords } from '../../engine/pipe/packet_index.ts';

/** Where new contents begin; it grows by what is put there. */
const bytesMin = 64 * 1024;

/** Packets on their way through a script. Without a word of it they go to output 0, as they are. */
export class ScriptBatch extends Batch implements Iterable<ScriptPacket> {
  readonly #index: PacketIndex;
  readonly #outputs: number;
  readonly #contents: { bytes: Uint8Array };
  readonly #replaced = new Map<number, { readonly at: number; readonly length: number }>();
  #used = 0;

  /** Called by host.ts only. `outputs`: how many there are. */
  constructor(batch: Batch, outputs: number) {
    const { client, index } = batchSource(batch);
    const contents = { bytes: new Uint8Array(bytesMin) };
    super(batch.memory, {
      client,
      index,
      get bytes() {
        return contents.bytes;
      },
      // Not before its packets are sent: they would be gone, and nobody would count them.
      release: () => {},
    });
    this.#index = index;
    this.#outputs = outputs;
    this.#contents = contents;
  }

  override packet(i: number): ScriptPacket {
    this.check(i);
    return new ScriptPacket(this, i);
  }

  override [Symbol.iterator](): Iterator<ScriptPacket> {
    return new Packets<ScriptPacket>(this);
  }

  /** Packet `i` goes nowhere; the engine counts it as declined. */
  drop(i: number): void {
    this.#mark(i, abi.markDecline);
  }

  /** Packet `i` goes to this output, from 0 on. */
  output(i: number, output: number): void {
    if (!Number.isInteger(output) || output < 0 || output >= this.#outputs) {
      throw BricksError.of('LIMIT_EXCEEDED', { what: 'output', value: output, min: 0, max: this.#outputs - 1 });
    }
    this.#mark(i, output);
  }

  /** Packet `i` goes on with this content. What the packet tells of itself stays what was received. */
  replace(i: number, content: Uint8Array): void {
    this.check(i);
    if (!(content instanceof Uint8Array)) {
      const hint = 'give a Uint8Array or Buffer';
      throw BricksError.of('ARGUMENT_INVALID', { what: 'replace', problem: 'its content is no bytes', hint });
    }
    if (content.length > abi.frameBytesMax) {
      throw BricksError.of('LIMIT_EXCEEDED', {
        what: 'bytes of a packet',
        value: content.length,
        min: 0,
        max: abi.frameBytesMax,
      });
    }
    this.#makeRoom(content.length);
    this.#contents.bytes.set(content, this.#used);
    this.#replaced.set(i, { at: this.#used, length: content.length });
    this.#used += content.length;
  }

  /** Called by host.ts: other packets are in the batch now. */
  begin(): void {
    this.#replaced.clear();
    this.#used = 0;
  }

  /** Called by host.ts: the verdicts are given. */
  settle(): void {
    const { words } = this.#index;
    for (const [i, { at, length }] of this.#replaced) {
      const record = i * recordWords;
      words[record + field.offset] = at;
      words[record + field.capturedLength] = length;
      words[record + field.wireLength] = length;
      words[record + field.fromBytes] = 1;
    }
  }

  #mark(i: number, mark: number): void {
    this.check(i);
    this.#index.words[i * recordWords + field.mark] = mark;
  }

  #makeRoom(bytes: number): void {
    const old = this.#contents.bytes;
    if (this.#used + bytes <= old.length) return;
    this.#contents.bytes = new Uint8Array(Math.max(2 * old.length, this.#used + bytes));
    this.#contents.bytes.set(old);
  }
}

/** One packet on its way through a script. */
export class ScriptPacket extends Packet {
  readonly #batch: ScriptBatch;
  readonly #i: number;

  /** Called by {@link ScriptBatch} only. */
  constructor(batch: ScriptBatch, i: number) {
    super(batch, i);
    this.#batch = batch;
    this.#i = i;
  }

  /** It goes nowhere. */
  drop(): void {
    this.#batch.drop(this.#i);
  }

  /** It goes to this output, from 0 on. */
  output(output: number): void {
    this.#batch.output(this.#i, output);
  }

  /** It goes on with this content. What it tells of itself stays what was received. */
  replace(content: Uint8Array): void {
    this.#batch.replace(this.#i, content);
  }
}
