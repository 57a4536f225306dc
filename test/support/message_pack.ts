// MessagePack of the tests' own, written from the specification (github.com/msgpack/msgpack/blob/master/spec.md): what
// the daemon and its clients say is compared with it. Small and slow; nothing of the package is used.
import assert from 'node:assert/strict';

/** Plain data. Maps are objects. */
export type Plain =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [key: string]: Plain };

function head(format: number, bytes: number, value: number): Buffer {
  const buffer = Buffer.alloc(1 + bytes);
  buffer[0] = format;
  buffer.writeUIntBE(value, 1, bytes);
  return buffer;
}

/** The smallest of the forms that hold a length, each a [format, bytes of the length]. */
function lengthHead(length: number, forms: readonly (readonly [format: number, bytes: number])[]): Buffer {
  const [format, bytes] = forms.find(([, size]) => length < 256 ** size) ?? assert.fail(`length ${length}`);
  return head(format, bytes, length);
}

function packNumber(value: number): Buffer {
  if (Number.isInteger(value) && value >= 0 && value < 0x80) return Buffer.from([value]);
  if (Number.isInteger(value) && value < 0 && value >= -32) return Buffer.from([256 + value]);
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) {
    return lengthHead(value, [
      [0xcc, 1],
      [0xcd, 2],
      [0xce, 4],
    ]);
  }
  const buffer = Buffer.alloc(9);
  if (Number.isInteger(value) && value < 0 && value >= -(2 ** 31)) {
    buffer[0] = 0xd2;
    buffer.writeInt32BE(value, 1);
    return buffer.subarray(0, 5);
  }
  buffer[0] = 0xcb;
  buffer.writeDoubleBE(value, 1);
  return buffer;
}

/** A value in MessagePack. */
export function pack(value: Plain): Buffer {
  if (value === null) return Buffer.from([0xc0]);
  if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2]);
  if (typeof value === 'number') return packNumber(value);
  if (typeof value === 'string') {
    const text = Buffer.from(value);
    const short = text.length < 32 ? Buffer.from([0xa0 | text.length]) : undefined;
    const forms = [[0xd9, 1] as const, [0xda, 2] as const, [0xdb, 4] as const];
    return Buffer.concat([short ?? lengthHead(text.length, forms), text]);
  }
  if (value instanceof Uint8Array) {
    const forms = [[0xc4, 1] as const, [0xc5, 2] as const, [0xc6, 4] as const];
    return Buffer.concat([lengthHead(value.length, forms), value]);
  }
  const isArray = Array.isArray(value);
  const items = isArray ? (value as readonly Plain[]) : Object.entries(value).flat();
  const count = isArray ? items.length : items.length / 2;
  const short = count < 16 ? Buffer.from([(isArray ? 0x90 : 0x80) | count]) : undefined;
  const forms = isArray
    ? ([
        [0xdc, 2],
        [0xdd, 4],
      ] as const)
    : ([
        [0xde, 2],
        [0xdf, 4],
      ] as const);
  return Buffer.concat([short ?? lengthHead(count, forms), ...items.map(pack)]);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(count: number): Buffer {
    assert.ok(this.#at + count <= this.#bytes.length, 'MessagePack: ends within a value');
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  #uint(bytes: number): number {
    return bytes === 8 ? Number(this.#take(8).readBigUInt64BE()) : this.#take(bytes).readUIntBE(0, bytes);
  }

  #int(bytes: number): number {
    return bytes === 8 ? Number(this.#take(8).readBigInt64BE()) : this.#take(bytes).readIntBE(0, bytes);
  }

  #array(count: number): Plain[] {
    return Array.from({ length: count }, () => this.value());
  }

  #map(count: number): { [key: string]: Plain } {
    const map: { [key: string]: Plain } = {};
    for (let i = 0; i < count; i++) {
      const key = this.value();
      assert.ok(typeof key === 'string', 'MessagePack: keys are strings here');
      assert.ok(!Object.hasOwn(map, key), `MessagePack: key ${key} twice`);
      map[key] = this.value();
    }
    return map;
  }

  value(): Plain {
    const format = this.#uint(1);
    if (format < 0x80) return format;
    if (format < 0x90) return this.#map(format & 15);
    if (format < 0xa0) return this.#array(format & 15);
    if (format < 0xc0) return this.#take(format & 31).toString();
    if (format >= 0xe0) return format - 256;
    const size = 1 << (format & 3);
    switch (format) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return format === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#take(this.#uint(size));
      case 0xca:
        return this.#take(4).readFloatBE();
      case 0xcb:
        return this.#take(8).readDoubleBE();
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return this.#uint(size);
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return this.#int(size);
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#take(this.#uint(1 << (format - 0xd9))).toString();
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (format - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (format - 0xde)));
      default:
        return assert.fail(`MessagePack: format 0x${format.toString(16)}`);
    }
  }
}

/** The one value in these bytes; fails on anything else. */
export function unpack(bytes: Uint8Array): Plain {
  const reader = new Reader(bytes);
  const value = reader.value();
  assert.ok(reader.isAtEnd, 'MessagePack: bytes behind the value');
  return value;
}
