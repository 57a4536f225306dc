// Reading pipes from JavaScript: contents against an independent capture reader, headers against packets built here,
// every way in which a pipe ends, and what is left behind.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { clientArm, clientClose, clientOpen, clientRead, clientRelease } from '../../engine/native.ts';
import { type Batch, BricksError, openPipe, openPipeWriter } from '../../index.ts';
import { assertSamePackets, readCapture, timed, writeCapture } from '../support/capture.ts';
import { startEngines } from '../support/engine_process.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { buildEcho, buildFragments, buildPacket, ethernet, type Flow, reverse } from '../support/packets.ts';
import { readAll, readAndStop, startPassing, usePipeFolder } from '../support/pipes.ts';
import { projectFolder, until } from '../support/programs.ts';

const runtimeFolder = usePipeFolder();
/** Packets without end, which wait for their reader. */
const endless = 'null:?frames=60&flows=50&pausable=1';

function hasCode(code: string, text = /./): (error: unknown) => boolean {
  return (error) => error instanceof BricksError && error.code === code && text.test(error.message);
}

test('every packet of a capture comes out of the pipe as it is in the file', async (t) => {
  const { packets } = readCapture(demoCapture);
  assert.equal(packets.length, 458, 'tcpdump -r demo.pcap | wc -l');
  for (const batchPackets of [1, 7, 512]) {
    const engine = startPassing(t, `pcap:${demoCapture}`, `content${batchPackets}{0?wait=1`);
    const pipe = await openPipe(`content${batchPackets}}0`, { batchPackets });
    assertSamePackets(await readAndStop(engine, pipe), packets, `batches of ${batchPackets}`);
    assert.deepEqual(pipe.counts(), { received: 458, dropped: 0 });
    assert.equal(pipe.isOpen, false);
  }
});

test('lengths, offsets and the bytes in shared memory are those of the packets', async (t) => {
  const frames = [60, 1514, 61, 9000].map((bytes) => Buffer.alloc(bytes, bytes & 255));
  const file = join(makeFolder(t), 'in.pcap');
  const cut = timed(frames).map((packet) => ({ ...packet, wireLength: packet.wireLength + 4 }));
  writeCapture(file, cut);
  const engine = startPassing(t, `pcap:${file}`, 'layout{0?wait=1');
  const pipe = await openPipe('layout}0');
  const { value: batch } = await pipe.next();
  assert.ok(batch !== undefined);
  assert.equal(pipe.linkType, 1);
  assert.equal(batch.count, frames.length);
  frames.forEach((frame, i) => {
    assert.equal(batch.length(i), frame.length);
    assert.equal(batch.wireLength(i), frame.length + 4);
    assert.deepEqual(Buffer.from(batch.data(i)), frame);
    const offset = batch.offset(i);
    assert.deepEqual(Buffer.from(batch.memory.subarray(offset, offset + frame.length)), frame);
    assert.equal(batch.timestampNs(i), cut[i]?.timestampNs);
    assert.ok(Math.abs(batch.timestamp(i) - Number(cut[i]?.timestampNs) / 1e9) < 1e-6);
    assert.equal(batch.packet(i).byte(3), frame.length & 255);
    assert.equal(batch.packet(i).byte(frame.length), 0);
    assert.equal(batch.packet(i).byte(-1), 0);
  });
  assert.throws(() => batch.length(frames.length), hasCode('PACKET_GONE', /packet 4: the batch holds 4; /));
  assert.throws(() => batch.data(-1), hasCode('PACKET_GONE'));
  batch.release();
  assert.equal(batch.count, 0);
  assert.throws(() => batch.data(0), hasCode('PACKET_GONE', /copy\(\)/));
  await engine.wait(30);
  pipe.close();
});

const udp: Flow = {
  protocol: 'udp',
  source: '10.1.2.3',
  destination: '192.0.2.44',
  sourcePort: 40001,
  destinationPort: 53,
};
const tcp6: Flow = {
  protocol: 'tcp',
  source: '2001:db8::1:0:0:7',
  destination: 'fe80::1',
  sourcePort: 65535,
  destinationPort: 443,
};

/** What is known of each packet from how it was built. */
const built = [
  { frame: buildPacket(udp), ip: 4, l3: 14, l4: 34, protocol: 17, flow: udp },
  {
    frame: Buffer.concat([buildPacket(reverse(udp)), Buffer.alloc(9)]),
    ip: 4,
    l3: 14,
    l4: 34,
    protocol: 17,
    flow: reverse(udp),
  },
  { frame: buildPacket(udp, { vlans: [{ id: 7 }] }), ip: 4, l3: 18, l4: 38, protocol: 17, flow: udp },
  { frame: buildPacket(udp, { ipOptions: Buffer.alloc(8, 1) }), ip: 4, l3: 14, l4: 42, protocol: 17, flow: udp },
  { frame: buildPacket(tcp6), ip: 6, l3: 14, l4: 54, protocol: 6, flow: tcp6 },
  { frame: buildPacket(tcp6, { extensions: ['hop'] }), ip: 6, l3: 14, l4: 62, protocol: 6, flow: tcp6 },
  {
    frame: buildEcho(udp, false),
    ip: 4,
    l3: 14,
    l4: 34,
    protocol: 1,
    flow: { ...udp, sourcePort: 0, destinationPort: 0 },
  },
  {
    frame: buildFragments(udp, 24, 9)[0] ?? Buffer.alloc(0),
    ip: 4,
    l3: 14,
    l4: 0,
    protocol: 17,
    flow: { ...udp, sourcePort: 0, destinationPort: 0 },
  },
  { frame: ethernet(0x0806, Buffer.alloc(46)), ip: 0, l3: 0, l4: 0, protocol: 0, flow: undefined },
] as const;

test('headers are parsed: offsets, versions, protocols, addresses, ports, a symmetric hash', async (t) => {
  const file = join(makeFolder(t), 'in.pcap');
  writeCapture(file, timed(built.map(({ frame }) => frame)));
  startPassing(t, `pcap:${file}`, 'headers{0?wait=1');
  const pipe = await openPipe('headers}0');
  const { value: batch } = await pipe.next();
  assert.ok(batch !== undefined);
  const found = [...batch].map((packet) => ({
    ip: packet.ipVersion,
    l3: packet.l3Offset,
    l4: packet.l4Offset,
    protocol: packet.protocol,
    source: packet.sourceAddress,
    destination: packet.destinationAddress,
    sourcePort: packet.sourcePort,
    destinationPort: packet.destinationPort,
  }));
  const expected = built.map(({ ip, l3, l4, protocol, flow }) => ({
    ip,
    l3,
    l4,
    protocol,
    source: flow?.source,
    destination: flow?.destination,
    sourcePort: flow?.sourcePort ?? 0,
    destinationPort: flow?.destinationPort ?? 0,
  }));
  assert.deepEqual(found, expected);
  // The builder's payload where it says nothing else: 20 bytes, the first of which is 1. Fragments and ICMP have none.
  assert.deepEqual(
    [...batch].map(({ payload }) => payload && [payload.length, payload[0]]),
    built.map(({ protocol, l4 }) => (protocol > 1 && l4 > 0 ? [20, 1] : undefined)),
  );
  const hashes = [...batch].map((packet) => packet.flowHash);
  assert.equal(hashes[0], hashes[1], 'both directions');
  assert.equal(hashes[0], hashes[2], 'with a tag');
  assert.notEqual(hashes[0], hashes[4], 'another flow');
  assert.notEqual(hashes[0], hashes[6], 'another protocol');
  pipe.close();
});

/** Without an Ethernet header a packet starts with its IP header: there a wrong offset shows. */
test('packets of other link types are parsed by theirs', async (t) => {
  const file = join(makeFolder(t), 'raw.pcap');
  writeCapture(file, timed([buildPacket(udp).subarray(14)]), { linkType: 101 });
  startPassing(t, `pcap:${file}`, 'raw{0?wait=1');
  const pipe = await openPipe('raw}0');
  const { value: batch } = await pipe.next();
  assert.equal(pipe.linkType, 101);
  assert.equal(batch?.sourceAddress(0), udp.source);
  assert.equal(batch?.destinationPort(0), udp.destinationPort);
  pipe.close();
});

test('a pipe that is not there yet is waited for', async (t) => {
  const opening = openPipe('late}0', { wait: true });
  startPassing(t, endless, 'late{0?wait=1');
  const pipe = await opening;
  const { value: batch } = await pipe.next();
  assert.ok((batch?.count ?? 0) > 0);
  pipe.close();
});

test('leaving the loop detaches: the next one opens the pipe and reads on', async (t) => {
  startPassing(t, endless, 'break{0?wait=1');
  for (const leave of ['break', 'throw', 'return'] as const) {
    const pipe = await openPipe('break}0');
    const loop = async (): Promise<number> => {
      for await (const batch of pipe) {
        assert.ok(batch.count > 0);
        if (leave === 'break') break;
        if (leave === 'return') return batch.count;
        throw new Error('left');
      }
      return 0;
    };
    if (leave === 'throw') await assert.rejects(loop(), /left/);
    else await loop();
    assert.equal(pipe.isOpen, false, leave);
    assert.deepEqual(await pipe.next(), { done: true, value: undefined });
  }
});

test('close() ends a loop that waits, and may be called again', async (t) => {
  startPassing(t, 'null:?packets=3&pausable=1', 'close{0?wait=1');
  const pipe = await openPipe('close}0');
  assert.equal((await pipe.next()).value?.count, 3);
  const waiting = pipe.next();
  await assert.rejects(pipe.next(), hasCode('PIPE_AWAITED', /one loop/));
  setImmediate(() => pipe.close());
  assert.deepEqual(await waiting, { done: true, value: undefined });
  pipe.close();
  assert.deepEqual(pipe.counts(), { received: 3, dropped: 0 });
});

test('a signal ends what is awaited, with its reason', async (t) => {
  const early = new AbortController();
  const opening = openPipe('abort}0', { wait: true, signal: early.signal });
  setImmediate(() => early.abort(new Error('too long')));
  await assert.rejects(opening, /too long/);

  startPassing(t, 'null:?packets=3&pausable=1', 'abort{0?wait=1');
  const controller = new AbortController();
  const pipe = await openPipe('abort}0', { signal: controller.signal });
  const reading = readAll(pipe);
  const end = assert.rejects(reading, /enough/);
  await until('its packets', () => pipe.counts().received === 3);
  controller.abort(new Error('enough'));
  await end;
  assert.equal(pipe.isOpen, false);
  await assert.rejects(openPipe('abort}0', { signal: controller.signal }), /enough/);
});

test('the stream ends when its engine is killed', async (t) => {
  const engines = startEngines(t, { runtimeFolder }, [
    {
      name: 'killed',
      links: [{ brick: { type: 'Dummy', inputs: ['null:?packets=5&pausable=1'], outputs: ['killed{0?wait=1'] } }],
    },
  ]);
  await engines.started();
  const pipe = await openPipe('killed}0');
  assert.equal((await pipe.next()).value?.count, 5);
  const waiting = pipe.next();
  process.kill(-(engines.program.child.pid ?? 0), 'SIGKILL');
  assert.deepEqual(await waiting, { done: true, value: undefined });
});

test('a slow consumer is told what it missed', async (t) => {
  const engine = startPassing(t, 'null:?frames=1000&pausable=0', 'slow{0');
  const pipe = await openPipe('slow}0');
  let packets = 0;
  for await (const batch of pipe) {
    packets += batch.count;
    await until('the ring to be full', () => pipe.counts().dropped > 0);
    if (engine.isRunning) engine.stop();
  }
  const { received, dropped } = pipe.counts();
  assert.equal(packets, received);
  assert.equal(dropped, engine.stats().drops.pipe_full);
});

test('a consumer that always has data leaves time for the rest of the program', async (t) => {
  startPassing(t, endless, 'turns{0?wait=1');
  const pipe = await openPipe('turns}0');
  let hasFired = false;
  setTimeout(() => {
    hasFired = true;
  }, 1);
  // Would not end if it did not: the test's time limit is the assertion.
  for await (const batch of pipe) if (hasFired && batch.count > 0) break;
  assert.equal(hasFired, true);
});

test('views that outlive their pipe can be read', async (t) => {
  startPassing(t, endless, 'stale{0?wait=1');
  const views: Uint8Array[] = [];
  let batch: Batch | undefined;
  for (let round = 0; round < 20; round++) {
    const pipe = await openPipe('stale}0');
    ({ value: batch } = await pipe.next());
    assert.ok(batch !== undefined);
    views.push(batch.data(0), batch.memory);
    const copy = batch.copy(0);
    pipe.close();
    assert.equal(copy[12], 8, 'a copy keeps what it had: the ethertype of IPv4');
    assert.deepEqual([views.at(-2)?.[12], views.at(-1)?.at(-1)], [0, 0]);
  }
  assert.throws(() => batch?.data(0), hasCode('PACKET_GONE'));
  assert.equal(new Set(views.map(({ buffer }) => buffer)).size, 1, 'one range of addresses for all of them');
});

const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
const descriptors = (): number => readdirSync('/proc/self/fd').length;
const addressSpace = (): number => Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

test('a thousand opens leave no descriptor, no mapping and no address space behind', async (t) => {
  startPassing(t, endless, 'leaks{0?wait=1');
  const openOnce = async (): Promise<void> => {
    const pipe = await openPipe('leaks}0');
    await pipe.next();
    pipe.close();
  };
  for (let i = 0; i < 50; i++) await openOnce();
  const before = { descriptors: descriptors(), mappings: mappings(), kilobytes: addressSpace() };
  for (let i = 0; i < 1000; i++) await openOnce();
  assert.ok(descriptors() <= before.descriptors + 2, `descriptors: ${before.descriptors}, ${descriptors()}`);
  assert.ok(mappings() <= before.mappings + 50, `mappings: ${before.mappings}, ${mappings()}`);
  // A ring is 256 KiB twice: a thousand of them would be 500 MB; what V8 takes meanwhile is less.
  assert.ok(addressSpace() < before.kilobytes + 200_000, `address space: ${before.kilobytes}, ${addressSpace()}`);
});

test('a worker that is terminated lets go of its pipes', async (t) => {
  startPassing(t, endless, 'worker{0?wait=1');
  const file = join(makeFolder(t), 'worker.mjs');
  writeFileSync(
    file,
    `import { register } from ${JSON.stringify(import.meta.resolve('tsx/esm/api'))};
register();
const { openPipe } = await import(${JSON.stringify(join(projectFolder, 'index.ts'))});
const { parentPort } = await import('node:worker_threads');
for await (const batch of await openPipe('worker}0')) parentPort.postMessage(batch.count);
`,
  );
  const worker = new Worker(file);
  await new Promise((done, fail) => worker.once('message', done).once('error', fail));
  await assert.rejects(openPipe('worker}0'), hasCode('EBUSY'));
  await worker.terminate();
  const pipe = await until('the pipe to be free', () => openPipe('worker}0').catch(() => undefined));
  assert.ok(((await pipe.next()).value?.count ?? 0) > 0);
  pipe.close();
});

test('what cannot be opened is said in one line, with the remedy', async (t) => {
  startPassing(t, endless, 'errors{0?wait=1');
  const pipe = await openPipe('errors}0');
  await assert.rejects(
    openPipe('errors}0'),
    hasCode('EBUSY', /^pipe "errors}0": process \d+ \(.*\) reads it already; end/),
  );
  await assert.rejects(openPipe('nowhere}0'), hasCode('ENOENT', /no engine serves it .*; have: /));
  await assert.rejects(openPipe('errors{0'), hasCode('EINVAL', /the application's end is "errors}0"/));
  await assert.rejects(
    openPipeWriter('errors}0'),
    hasCode('ENOTSUP', /^pipe "errors}0": its engine sends to it; read it/),
  );
  await assert.rejects(openPipe('errors}0\0'), hasCode('ARGUMENT_INVALID', /give one like/));
  await assert.rejects(openPipe(undefined as unknown as string), hasCode('ARGUMENT_INVALID'));
  const misspelt = hasCode('OPTION_UNKNOWN', /no option "wiat"; have: wait, signal/);
  await assert.rejects(openPipe('errors}0', { wiat: true } as object), misspelt);
  await assert.rejects(openPipeWriter('errors}0', { wiat: true } as object), misspelt);
  await assert.rejects(openPipe('errors}0', { batchPackets: 0 }), hasCode('OPTION_INVALID', /batchPackets/));
  pipe.close();
});

test('a handle that is wrong or stale is refused', async (t) => {
  startPassing(t, endless, 'handles{0?wait=1');
  const index = new Uint8Array(40);
  const client = await clientOpen('handles}0', 'read');
  clientClose(client);
  for (const handle of [client, 0, -1, 1, 2 ** 31 - 1, client + 512]) {
    assert.equal(clientRead(handle, index), -9, `EBADF for ${handle}`);
    assert.equal(clientArm(handle), -9);
    clientRelease(handle);
    clientClose(handle);
  }
  const again = await clientOpen('handles}0', 'read');
  assert.notEqual(again, client, 'another generation');
  clientClose(again);
});
