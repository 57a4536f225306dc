// MessagePack as this protocol uses it: plain values only. Called by frame.ts.
//
// A decoder that is given hostile bytes can be made to build regular expressions and typed arrays from extension types,
// to reserve memory for lengths that nothing backs, and to recurse. So the bytes are walked first: lengths must be
// backed by bytes, nesting is bounded, extension types are refused. See the MessagePack specification, "Formats".
import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr';

const depthMax = 16;

/** What is wrong with what a peer sent. */
export class ProtocolError extends Error {}

/** Bytes that follow the first one of a format as its length or value. */
const fixedBytes: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
};

/** Formats whose length follows: the bytes of that length. */
const textLengthBytes: Readonly<Record<number, number>> = { 196: 1, 197: 2, 198: 4, 217: 1, 218: 2, 219: 4 };
const arrayLengthBytes: Readonly<Record<number, number>> = { 220: 2, 221: 4 };
const mapLengthBytes: Readonly<Record<number, number>> = { 222: 2, 223: 4 };

class Walker {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Walks the one value there may be. */
  walk(): void {
    this.#value(0);
    if (this.#at !== this.#bytes.length) throw new ProtocolError('a message has bytes behind its end');
  }

  #take(count: number): number {
    const from = this.#at;
    if (count > this.#bytes.length - from) throw new ProtocolError('a message ends within a value');
    this.#at += count;
    return from;
  }

  #length(bytes: number): number {
    return this.#bytes.readUIntBE(this.#take(bytes), bytes);
  }

  #value(depth: number): void {
    if (depth > depthMax) throw new ProtocolError(`a message is nested deeper than ${depthMax}`);
    const format = this.#bytes[this.#take(1)] ?? 0;
    // fixint, negative fixint
    if (format < 0x80 || format >= 0xe0) return;
    if (format < 0x90) this.#values(2 * (format & 0x0f), depth);
    else if (format < 0xa0) this.#values(format & 0x0f, depth);
    else if (format < 0xc0) this.#take(format & 0x1f);
    else if (format in fixedBytes) this.#take(fixedBytes[format] ?? 0);
    else if (format in textLengthBytes) this.#take(this.#length(textLengthBytes[format] ?? 0));
    else if (format in arrayLengthBytes) this.#values(this.#length(arrayLengthBytes[format] ?? 0), depth);
    else if (format in mapLengthBytes) this.#values(2 * this.#length(mapLengthBytes[format] ?? 0), depth);
    else throw new ProtocolError(`a message holds the format 0x${format.toString(16)}, which is not plain data`);
  }

  /** Each value takes a byte at least: a length that nothing backs ends here at once. */
  #values(count: number, depth: number): void {
    if (count > this.#bytes.length - this.#at) throw new ProtocolError('a message ends within a value');
    for (let i = 0; i < count; i++) this.#value(depth + 1);
  }
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, int64AsType: 'number' });
const unpackr = new Unpackr({ useRecords: false, int64AsType: 'number' });

/** The message behind `room` bytes that are left for the caller to fill: one copy less for each message. */
export function encodeBehind(room: number, value: unknown): Buffer {
  return packr.pack(value, RESERVE_START_SPACE + room);
}

/** The value of one message. Throws {@link ProtocolError} for anything that is not plain data. */
export function decode(bytes: Buffer): unknown {
  new Walker(bytes).walk();
  try {
    return unpackr.unpack(bytes);
  } catch (error) {
    throw new ProtocolError(`a message cannot be decoded: ${error instanceof Error ? error.message : error}`);
  }
}
