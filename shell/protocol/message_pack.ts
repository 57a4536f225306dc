// MessagePack as this protocol uses it: plain values only. Called by frame.ts.
//
// A decoder that is given hostile bytes can be made to build regular expressions and typed arrays from extension types,
// to reserve memory for lengths that nothing backs, and to recurse. So the bytes are walked first: lengths must be
// backed by bytes, nesting is bounded, extension types are refused. See the MessagePack specification, "Formats".

import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr';
import { errorText } from '../../engine/errors.ts';

const depthMax = 16;

/** What is wrong with what a peer sent. */
export class ProtocolError extends Error {}

/** What follows the first byte of each format: bytes of a value, or a length and what it counts. */
type Kind = 'value' | 'bytes' | 'array' | 'map';
interface Format {
  readonly kind: Kind;
  /** Of the value, or of the length. */
  readonly bytes: number;
  /** The length where the first byte holds it. */
  readonly length: number;
}

const formats: (Format | undefined)[] = Array.from({ length: 256 });

function define(from: number, to: number, kind: Kind, bytes: (at: number) => number): void {
  for (let at = from; at <= to; at++) {
    const isFixed = kind !== 'value' && from < 0xc0;
    formats[at] = { kind, bytes: isFixed ? 0 : bytes(at - from), length: isFixed ? at - from : 0 };
  }
}

define(0x00, 0x7f, 'value', () => 0);
define(0x80, 0x8f, 'map', () => 0);
define(0x90, 0x9f, 'array', () => 0);
define(0xa0, 0xbf, 'bytes', () => 0);
define(0xc0, 0xc0, 'value', () => 0);
define(0xc2, 0xc3, 'value', () => 0);
define(0xc4, 0xc6, 'bytes', (at) => 2 ** at);
define(0xca, 0xcb, 'value', (at) => 4 * 2 ** at);
define(0xcc, 0xcf, 'value', (at) => 2 ** at);
define(0xd0, 0xd3, 'value', (at) => 2 ** at);
define(0xd9, 0xdb, 'bytes', (at) => 2 ** at);
define(0xdc, 0xdd, 'array', (at) => 2 * 2 ** at);
define(0xde, 0xdf, 'map', (at) => 2 * 2 ** at);
define(0xe0, 0xff, 'value', () => 0);

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

  #value(depth: number): void {
    if (depth > depthMax) throw new ProtocolError(`a message is nested deeper than ${depthMax}`);
    const first = this.#bytes[this.#take(1)] ?? 0;
    const format = formats[first];
    if (format === undefined) {
      throw new ProtocolError(`a message holds the format 0x${first.toString(16)}, which is not plain data`);
    }
    const { kind, bytes, length } = format;
    if (kind === 'value') {
      this.#take(bytes);
      return;
    }
    const count = bytes === 0 ? length : this.#bytes.readUIntBE(this.#take(bytes), bytes);
    if (kind === 'bytes') this.#take(count);
    else this.#values(kind === 'map' ? 2 * count : count, depth);
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
    throw new ProtocolError(`a message cannot be decoded: ${errorText(error)}`);
  }
}
