// The protocol of the control socket, as functions: MessagePack against an encoder of the tests' own and vectors of the
// specification, frames cut at every place, hostile bytes, and the shapes of messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientMessageBytesMax, daemonMessageBytesMax, encodeFrame, FrameReader } from '../../shell/protocol/frame.ts';
import { decode, ProtocolError } from '../../shell/protocol/message_pack.ts';
import { checkHello, checkRequest } from '../../shell/protocol/shapes.ts';
import { frameOf } from '../support/control_wire.ts';
import { type Plain, pack, unpack } from '../support/message_pack.ts';

const hello = { type: 'hello', protocol: 1, program: 'bricks-shell', version: '0.1.0', pid: 1234 };
const evaluate = { type: 'evaluate', id: 7, mode: 'line', code: Buffer.from('1 + 1'), name: 'prompt', format: 'text' };

/** One of each kind that a client may send behind its hello. */
const requests: readonly { readonly [field: string]: Plain }[] = [
  evaluate,
  { ...evaluate, id: 0, mode: 'chunk', code: Buffer.alloc(300, 0xff), format: 'json' },
  { type: 'complete', id: 70_000, line: 'Brick.new("Lö' },
  { type: 'interrupt', id: 2 ** 32 },
  { type: 'stats', id: 1 },
  { type: 'subscribe', id: 2, statsMs: 100, logs: 'debug' },
  { type: 'subscribe', id: 3, statsMs: 0, logs: 'none' },
  { type: 'subscribe', id: 4 },
  { type: 'shutdown', id: 5 },
];

/** Bytes in hexadecimal. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

/** Fails unless the bytes are refused in so many words. */
function assertRefused(bytes: Buffer, reason: RegExp, what = bytes.subarray(0, 40).toString('hex')): void {
  assert.throws(
    () => decode(bytes),
    (error) => error instanceof ProtocolError && reason.test(error.message),
    what,
  );
}

test('vectors of the MessagePack specification', () => {
  const vectors: [string, unknown][] = [
    ['82 a7 636f6d70616374 c3 a6 736368656d61 00', { compact: true, schema: 0 }],
    ['c0', null],
    ['93 c2 c3 7f', [false, true, 127]],
    ['92 e0 ff', [-32, -1]],
    ['94 cc80 cdffff ceffffffff cf0000000100000000', [128, 65535, 4294967295, 4294967296]],
    ['94 d080 d18000 d280000000 d3ffffffff00000000', [-128, -32768, -2147483648, -4294967296]],
    ['92 ca3f000000 cb3ff8000000000000', [0.5, 1.5]],
    ['93 a0 d903 e282ac da0001 61', ['', '€', 'a']],
    ['dc0001 dd00000001 de0001 a161 df00000000', [[{ a: {} }]]],
  ];
  for (const [bytes, value] of vectors) assert.deepEqual(decode(hex(bytes)), value, bytes);
  // A view of bytes, whatever class.
  assert.deepEqual(Buffer.from(decode(hex('c4020001')) as Uint8Array), Buffer.from([0, 1]));
});

test('what it encodes the specification decodes, and the other way round, at every length where forms change', () => {
  const lengths = [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536];
  const integers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 2];
  const mapOf = (length: number): Plain => Object.fromEntries(Array.from({ length }, (_, i) => [`k${i}`, i]));
  const values: Plain[] = [
    ...[null, true, false, 1.5, -0.25, 1e300],
    ...integers,
    ...integers.map((value) => -value - 1),
    ...lengths.map((length) => 'x'.repeat(length)),
    ...lengths.map((length) => Buffer.alloc(length, 0xc1)),
    ...lengths.map((length) => Array.from({ length }, (_, i) => i)),
    // No message has a map of more: the encoder would not take it.
    ...lengths.filter((length) => length < 65_536).map(mapOf),
    ...requests,
    hello,
  ];
  for (const value of values) {
    const what = JSON.stringify(value).slice(0, 60);
    assert.deepEqual(unpack(encodeFrame(value, daemonMessageBytesMax).subarray(4)), value, `encoded: ${what}`);
    assert.deepEqual(decode(pack(value)), value, `decoded: ${what}`);
  }
  assert.deepEqual(decode(pack(mapOf(65_536))), mapOf(65_536));
});

test('a frame is a length in 32 bits, big-endian, and the message', () => {
  const frame = encodeFrame({ type: 'stats', id: 5 }, 100);
  assert.equal(frame.readUInt32BE(), frame.length - 4);
  assert.deepEqual(unpack(frame.subarray(4)), { type: 'stats', id: 5 });
  assert.deepEqual([...new FrameReader(100).read(frameOf({ type: 'stats', id: 5 }))], [{ type: 'stats', id: 5 }]);
  assert.throws(() => encodeFrame('x'.repeat(100), 100), ProtocolError);
  encodeFrame('x'.repeat(98), 100);
});

test('frames arrive whole however they are cut', () => {
  const messages = [hello, { type: 'stats', id: 1 }, { ...evaluate, code: Buffer.alloc(3, 7) }];
  const stream = Buffer.concat(messages.map(frameOf));
  const read = (pieces: readonly Buffer[]): { messages: unknown[]; isPartial: boolean } => {
    const reader = new FrameReader(1000);
    return { messages: pieces.flatMap((piece) => [...reader.read(piece)]), isPartial: reader.isPartial };
  };
  for (let first = 0; first <= stream.length; first++) {
    for (let second = first; second <= stream.length; second++) {
      const pieces = [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)];
      assert.deepEqual(read(pieces), { messages, isPartial: false }, `cut at ${first} and ${second}`);
    }
  }
  const bytes = [...stream].map((_, i) => stream.subarray(i, i + 1));
  assert.deepEqual(read(bytes), { messages, isPartial: false }, 'byte by byte');
  for (let end = 0; end < stream.length; end++) {
    const ends = messages.map((_, i) => Buffer.concat(messages.slice(0, i + 1).map(frameOf)).length);
    const whole = ends.filter((at) => at <= end).length;
    const isPartial = end > 0 && !ends.includes(end);
    assert.deepEqual(
      read([stream.subarray(0, end)]),
      { messages: messages.slice(0, whole), isPartial },
      `the first ${end}`,
    );
  }
});

test('frames that wait to be sent are not changed by those encoded after them', () => {
  const messages = Array.from({ length: 2000 }, (_, i) => ({ ...evaluate, id: i, code: Buffer.alloc(i, i) }));
  const frames = messages.map((message) => encodeFrame(message, daemonMessageBytesMax));
  frames.forEach((frame, i) => {
    assert.equal(frame.readUInt32BE(), frame.length - 4);
    assert.deepEqual(unpack(frame.subarray(4)), messages[i]);
  });
});

test('frames of no bytes, and of too many, are refused before their bytes come', () => {
  const refused = (length: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    assert.throws(() => [...new FrameReader(1000).read(bytes)], new RegExp(`a frame of ${length} bytes: .* 1 to 1000`));
  };
  for (const length of [0, 1001, 2 ** 31, 2 ** 32 - 1, 0x47455420]) refused(length);
  const text = 'x'.repeat(1000 - 3);
  assert.deepEqual([...new FrameReader(1000).read(frameOf(text))], [text], 'the longest');
});

test('extension types and the format that is never used are refused, wherever they stand', () => {
  const extensions = {
    'fixext 1': 'd4 01 00',
    'fixext 2': 'd5 01 0000',
    'timestamp 32': 'd6 ff 00000000',
    'timestamp 64': 'd7 ff 0000000000000000',
    'fixext 16': `d8 01 ${'00'.repeat(16)}`,
    'timestamp 96': `c7 0c ff ${'00'.repeat(12)}`,
    'ext 8, an error of msgpackr': 'c7 03 65 93 c0 c0 c0',
    'ext 8, a regular expression of msgpackr': 'c7 05 78 92 a1 61 a1 67',
    'ext 8, a typed array of msgpackr': 'c7 02 74 01 00',
    'ext 16': 'c8 0001 01 00',
    'ext 32': 'c9 00000001 01 00',
    'a record of msgpackr': 'd4 72 40 91 a1 61 01',
    'never used': 'c1',
  };
  for (const [what, text] of Object.entries(extensions)) {
    const value = hex(text);
    assertRefused(value, /format 0x.*plain data/, what);
    assertRefused(Buffer.concat([hex('92 01'), value]), /plain data/, `${what} in an array`);
    assertRefused(Buffer.concat([hex('81 a474797065'), value]), /plain data/, `${what} as a value`);
    assertRefused(Buffer.concat([hex('81'), value, hex('01')]), /plain data/, `${what} as a key`);
  }
});

test('lengths that no bytes back are refused, at once', () => {
  for (const format of ['d9', 'c4', 'da', 'c5', 'dc', 'de', 'db', 'c6', 'dd', 'df']) {
    const bytes = { d9: 1, c4: 1, da: 2, c5: 2, dc: 2, de: 2 }[format] ?? 4;
    for (const length of ['01'.padStart(2 * bytes, '0'), 'ff'.repeat(bytes), '7f'.padEnd(2 * bytes, 'f')]) {
      assertRefused(hex(format + length), /ends within/);
      assertRefused(hex(`92 ${format}${length} c0`), /ends within/);
    }
  }
  for (const format of ['81', '8f', '91', '9f', 'a1', 'bf', 'ca', 'cb', 'cc', 'cd', 'ce', 'cf', 'd0', 'd3', '']) {
    assertRefused(hex(format), /ends within/);
  }
});

test('nothing may be missing at the end of a message or follow it', () => {
  for (const message of [hello, ...requests]) {
    const bytes = pack(message);
    for (let end = 0; end < bytes.length; end++) assertRefused(bytes.subarray(0, end), /ends within/);
    assertRefused(Buffer.concat([bytes, hex('c0')]), /behind its end/);
  }
});

test('nesting is bounded, however deep', () => {
  const nested = (depth: number, opening: string): Buffer =>
    Buffer.concat([hex(opening.repeat(depth)), hex(opening.startsWith('81') ? 'c0' : '90')]);
  decode(nested(16, '91'));
  for (const depth of [17, 1000, 1_000_000]) {
    assertRefused(nested(depth, '91'), /nested deeper/, `${depth} arrays`);
    assertRefused(nested(depth, '81a161'), /nested deeper/, `${depth} maps`);
    assertRefused(nested(depth, 'dd00000001'), /nested deeper/, `${depth} long arrays`);
  }
});

test('keys of JavaScript objects mean nothing', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  for (const name of names) {
    const bytes = pack(JSON.parse(`{"type":"stats","id":1,"${name}":{"type":"shutdown","polluted":true}}`) as Plain);
    const request = checkRequest(decode(bytes));
    assert.equal(request.type, 'stats');
    assert.equal(({} as Record<string, unknown>).polluted, undefined, 'other objects');
    assert.throws(() => checkRequest({ type: name, id: 1 }), ProtocolError, `a message of type ${name}`);
  }
  const inherited = decode(pack(JSON.parse('{"__proto__":{"type":"shutdown","id":1}}') as Plain));
  assert.throws(() => checkRequest(inherited), /has no type/);
});

test('each message is accepted as it should be, and refused with any field wrong or missing', () => {
  assert.deepEqual(checkHello(hello), hello);
  for (const request of requests) assert.deepEqual(checkRequest(request), request);
  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    id: [-1, 1.5, '1', null, undefined, Number.NaN, [1]],
    protocol: [-1, 0.5, '1', null, undefined],
    pid: [-1, '1', undefined],
    program: [1, null, undefined, 'x'.repeat(4097), ['a']],
    version: [1, undefined],
    mode: ['script', '', 1, undefined, 'constructor'],
    code: ['1 + 1', null, undefined, [49], { length: 3 }],
    name: [5, undefined, Buffer.from('x'), 'x'.repeat(4097)],
    format: ['xml', undefined, 0],
    line: [Buffer.from('x'), undefined, 'x'.repeat(4097)],
    statsMs: [-1, 1, 99, 100.5, '100', true],
    logs: ['verbose', 3, 'None', true],
  };
  for (const message of [hello, ...requests]) {
    const check = message.type === 'hello' ? checkHello : checkRequest;
    for (const field of Object.keys(message).filter((name) => name !== 'type')) {
      for (const value of wrong[field] ?? assert.fail(`no wrong values for ${field}`)) {
        const reason = new RegExp(`a message "${message.type}" has a wrong field "${field}"`);
        assert.throws(() => check({ ...message, [field]: value }), reason, `${field} is ${String(value)}`);
      }
    }
  }
});

test('no type, an unknown type, and messages out of turn', () => {
  for (const value of [null, 1, 'stats', true, [], [hello], Buffer.from('stats'), {}, { id: 1 }, { type: 1 }]) {
    assert.throws(() => checkRequest(value), /a message has no type/);
    assert.throws(() => checkHello(value), /a message has no type/);
  }
  assert.throws(() => checkRequest({ type: 'x'.repeat(1000) }), /^Error: a message has the unknown type "x{40}"$/);
  assert.throws(() => checkHello({ type: 'stats', id: 1 }), /the first message is "stats", it must be "hello"/);
  assert.throws(() => checkRequest(hello), /a second "hello"/);
});

/** Marsaglia's xorshift32: the same mutations each time. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  const mutated = [...bytes];
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(mutated.length + 1);
    const kind = random(5);
    if (kind === 0) mutated.splice(at, 1 + random(8));
    else if (kind === 1) mutated.splice(at, 0, ...Array.from({ length: 1 + random(4) }, () => random(256)));
    else if (kind === 2) mutated[at] = (mutated[at] ?? 0) ^ (1 << random(8));
    else if (kind === 3) mutated[at] = 0xc0 + random(0x20);
    else mutated[at] = random(256);
  }
  return Buffer.from(mutated);
}

test('random mutations of messages are values or refused, and never anything else', () => {
  const random = makeRandom(0x5eed);
  const counts = { refused: 0, wrongShape: 0, accepted: 0 };
  const messages = [hello, ...requests].map(pack);
  for (let i = 0; i < 30_000; i++) {
    const bytes = mutate(messages[i % messages.length] ?? Buffer.alloc(0), random);
    let value: unknown;
    try {
      value = decode(bytes);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `${bytes.toString('hex')}: ${error}`);
      counts.refused++;
      continue;
    }
    try {
      const request = checkRequest(value);
      assert.ok(requests.some(({ type }) => type === request.type));
      assert.ok(Number.isInteger(request.id), bytes.toString('hex'));
      counts.accepted++;
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `${bytes.toString('hex')}: ${error}`);
      counts.wrongShape++;
    }
  }
  // All three happen, else the mutations test nothing.
  for (const [kind, count] of Object.entries(counts)) assert.ok(count > 1000, `${kind}: ${count}`);
});

test('random bytes through a reader of frames end in messages, in waiting, or in an error that says so', () => {
  const random = makeRandom(0xf1a9);
  for (let i = 0; i < 2000; i++) {
    const reader = new FrameReader(clientMessageBytesMax);
    const bytes = Buffer.from(Array.from({ length: 4 + random(200) }, () => random(256)));
    if (random(2) === 0) bytes.writeUInt32BE(random(bytes.length), 0);
    try {
      for (const piece of [bytes.subarray(0, random(bytes.length)), bytes]) for (const _ of reader.read(piece));
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `${bytes.toString('hex')}: ${error}`);
    }
  }
});
