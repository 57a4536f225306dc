// Writing pipes from JavaScript: what an engine receives is what was written, whoever waits for whom, and every way in
// which it ends.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BricksError, openPipe, openPipeWriter } from '../../index.ts';
import { assertSamePackets, type Packet, readCapture, timed } from '../support/capture.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { readAll, startPassing, usePipeFolder } from '../support/pipes.ts';
import { until } from '../support/programs.ts';

usePipeFolder();

function hasCode(code: string, text = /./): (error: unknown) => boolean {
  return (error) => error instanceof BricksError && error.code === code && text.test(error.message);
}

/** Frames that tell each other apart, of every length that is odd for copies. */
function frames(count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => Buffer.alloc(14 + ((i * 37) % 1487), i & 255));
}

/** Writes with `write`, closes, and returns what the engine wrote to a capture. */
async function capture(
  t: TestContext,
  name: string,
  write: (name: string) => Promise<void>,
): Promise<readonly Packet[]> {
  const file = join(makeFolder(t), 'out.pcap');
  const engine = startPassing(t, `${name}}0`, `pcap:${file}`);
  await write(`${name}}0`);
  engine.stop();
  return readCapture(file).packets;
}

test('packets arrive as they were written: one by one, and side by side', async (t) => {
  const expected = timed(frames(2000)).map((packet) => ({ ...packet, wireLength: packet.wireLength + 4 }));
  const single = await capture(t, 'single', async (name) => {
    const writer = await openPipeWriter(name);
    for (const { data, timestampNs, wireLength } of expected) await writer.send(data, { timestampNs, wireLength });
    await until('the engine to take all', () => writer.backlog === 0);
    writer.close();
  });
  assertSamePackets(single, expected, 'one by one');

  const timestampNs = 1_700_000_000_000_000_001n;
  const several = await capture(t, 'several', async (name) => {
    const writer = await openPipeWriter(name);
    await writer.send(frames(2000), { timestampNs });
    await until('the engine to take all', () => writer.backlog === 0);
    writer.close();
  });
  const flat = frames(2000).map((data) => ({ data, timestampNs, wireLength: data.length }));
  assertSamePackets(several, flat, 'side by side');
});

test('batches of one pipe go into another, unchanged', async (t) => {
  const source = startPassing(t, `pcap:${demoCapture}`, 'forward{0?wait=1');
  const forwarded = await capture(t, 'onward', async (name) => {
    const writer = await openPipeWriter(name);
    const pipe = await openPipe('forward}0', { batchPackets: 100 });
    const ended = source.wait(30).then(() => source.stop());
    for await (const batch of pipe) await writer.send(batch);
    await ended;
    await until('the engine to take all', () => writer.backlog === 0);
    writer.close();
  });
  assertSamePackets(forwarded, readCapture(demoCapture).packets, 'forwarded');
});

test('write() takes what there is room for; drain() waits for more', async (t) => {
  // Nobody reads the engine's output, which waits: so does its input, in the end.
  startPassing(t, 'full}0', 'sink{0');
  // In this order: an engine that has taken note of the writer has taken note of the reader, too.
  const reader = await openPipe('sink}0');
  const writer = await openPipeWriter('full}0');
  await writer.drain();
  const packets = frames(5000);
  let written = writer.write(packets);
  // Engine and reader hold some hundred kilobytes.
  await until('everything to be full', () => {
    const more = writer.write(packets, { from: written });
    written += more;
    return more === 0;
  });
  assert.ok(written > 0 && written < packets.length, `${written} written`);
  const reading = readAll(reader);
  while (written < packets.length) {
    await writer.drain();
    written += writer.write(packets, { from: written });
  }
  await until('the last to arrive', () => reader.counts().received === packets.length);
  reader.close();
  const arrived = await reading;
  assert.deepEqual(
    arrived.map(({ data }) => data.length),
    packets.slice(0, arrived.length).map(({ length }) => length),
  );
  writer.close();
});

test('what a pipe cannot carry is refused, and what stands before it is written', async (t) => {
  startPassing(t, 'refuse}0', 'null:');
  const writer = await openPipeWriter('refuse}0');
  await writer.drain();
  const small = Buffer.alloc(60);
  assert.throws(
    () => writer.write(Buffer.alloc(262_145)),
    hasCode('PACKET_TOO_LONG', /a packet of 262145 bytes; it takes 262144/),
  );
  assert.throws(() => writer.write(Buffer.alloc(200_000)), hasCode('PACKET_TOO_LONG', /more slots/));
  assert.equal(writer.write([small, small, Buffer.alloc(262_145), small]), 2);
  assert.equal(writer.write([small, Buffer.alloc(200_000), small]), 1);
  assert.throws(() => writer.write(small, { wireLength: 59 }), hasCode('LIMIT_EXCEEDED', /wireLength: 59/));
  assert.throws(() => writer.write(small, { mark: 4096 }), hasCode('LIMIT_EXCEEDED', /mark/));
  assert.throws(() => writer.write([small], { from: 2 }), hasCode('LIMIT_EXCEEDED', /from/));
  assert.equal(writer.write([]), 0);
  writer.close();
});

test('what is no packet is refused before anything is written', async (t) => {
  startPassing(t, 'strict}0', 'null:');
  const writer = await openPipeWriter('strict}0');
  t.after(() => writer.close());
  // Until the engine has taken note of it there is no room.
  await writer.drain();
  for (const packets of [undefined, 'text', 5, [1], [Buffer.alloc(60), 'text'], { length: 2 }]) {
    const refusal = { code: 'ARGUMENT_INVALID', message: /strict\}0.*no packets; give a Uint8Array/ };
    assert.throws(() => writer.write(packets as Uint8Array), refusal);
    await assert.rejects(writer.send(packets as Uint8Array), refusal);
  }
  const early = { timestampNs: 5 as unknown as bigint };
  assert.throws(() => writer.write(Buffer.alloc(60), early), { code: 'ARGUMENT_INVALID', message: /bigint/ });
  assert.equal(writer.write(Buffer.alloc(60)), 1);
});

test('the end: of the engine, by close(), by a signal', async (t) => {
  const engine = startPassing(t, 'ends}0', 'null:');
  const first = await openPipeWriter('ends}0');
  await assert.rejects(openPipeWriter('ends}0'), hasCode('EBUSY', /^pipe "ends}0": process \d+ .*; end/));
  await assert.rejects(openPipe('ends}0'), hasCode('ENOTSUP'));
  first.close();
  first.close();
  assert.throws(() => first.write(Buffer.alloc(60)), hasCode('PIPE_CLOSED', /open it anew/));
  assert.throws(() => first.decline(1), hasCode('PIPE_CLOSED'));
  await assert.rejects(first.drain(), hasCode('PIPE_CLOSED'));

  const controller = new AbortController();
  const second = await until('the place to be free', () =>
    openPipeWriter('ends}0', { signal: controller.signal }).catch(() => undefined),
  );
  controller.abort(new Error('enough'));
  assert.throws(() => second.write(Buffer.alloc(60)), /enough/);

  const third = await until('the place to be free', () => openPipeWriter('ends}0').catch(() => undefined));
  await third.drain();
  third.decline(3);
  engine.stop();
  assert.throws(
    () => {
      while (third.isOpen) third.write(Buffer.alloc(60));
    },
    hasCode('PIPE_ENDED', /start it/),
  );
  assert.equal(third.isOpen, false);
});

test('a writer with a link type of its own', async (t) => {
  const file = join(makeFolder(t), 'raw.pcap');
  const engine = startPassing(t, 'linktype}0', `pcap:${file}`);
  const writer = await openPipeWriter('linktype}0');
  assert.throws(() => writer.setLinkType(65_536), hasCode('LIMIT_EXCEEDED', /linkType/));
  writer.setLinkType(101);
  await writer.send(Buffer.from('4500001c00000000401100000a0000010a000002003500350008000000', 'hex'));
  assert.throws(() => writer.setLinkType(1), hasCode('PIPE_BEGUN', /before the first/));
  await until('the engine to take it', () => writer.backlog === 0);
  writer.close();
  engine.stop();
  assert.equal(readCapture(file).linkType, 101);
});
