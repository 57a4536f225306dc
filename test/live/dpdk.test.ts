// The driver dpdk with devices that need no peer: captures by net_pcap, references for Duplicator, restarts, errors.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertSameFrames, readCapture, timed, writeCapture } from '../support/capture.ts';
import { checkCycles, thousandStarts } from '../support/conformance/cycles.ts';
import { skipDpdk } from '../support/dpdk.ts';
import { type BrickDescription, type EngineDescription, startEngines } from '../support/engine_process.ts';
import { makeFolder } from '../support/files.ts';
import { connect, makeNamespace, skipLive } from '../support/netns.ts';
import { buildPacket } from '../support/packets.ts';
import { projectFolder, start, until } from '../support/programs.ts';

const skip = skipDpdk();
const count = 500;
const flow = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'udp', sourcePort: 5000 } as const;
const frames = (payloads: readonly number[]) =>
  timed(
    Array.from({ length: count }, (_, i) =>
      buildPacket({ ...flow, destinationPort: i + 1 }, { payload: payloads[i % payloads.length] ?? 0 }),
    ),
  );

/** Engines that each carry one device's packets to another. */
const carry = (name: string, input: string, output: string): EngineDescription => ({
  name,
  links: [{ brick: { type: 'Dummy', inputs: [input], outputs: [output] } }],
});

for (const { what, payloads, copied } of [
  { what: 'frames of one buffer, without a copy', payloads: [18, 400, 1458], copied: false },
  { what: 'frames of several buffers', payloads: [18, 8958, 4000], copied: true },
]) {
  test(`net_pcap through Duplicator: ${what}`, { skip }, async (t) => {
    const folder = makeFolder(t);
    const sent = frames(payloads);
    writeCapture(join(folder, 'in.pcap'), sent);
    const outputs = [1, 2].map((i) => `dpdk:net_pcap${i},tx_pcap=${join(folder, `out${i}.pcap`)}`);
    const brick = { type: 'Duplicator', inputs: [`dpdk:net_pcap0,rx_pcap=${join(folder, 'in.pcap')}`], outputs };
    const engines = startEngines(t, { runtimeFolder: folder }, [{ name: 'e', links: [{ brick }] }]);
    assert.equal(await engines.started(), undefined);
    await engines.statsUntil('e', 'every frame is sent twice', ({ txPackets }) => txPackets === 2 * count);
    const stats = await engines.stop('e');
    for (const i of [1, 2]) {
      assertSameFrames(readCapture(join(folder, `out${i}.pcap`)).packets, sent, `out${i}.pcap`);
    }
    for (const port of stats.ports) {
      assert.equal(port.others.buffers_in_use, 0, `${port.name}: every buffer is back`);
      if (port.role === 'output') assert.equal((port.others.tx_copies ?? 0) > 0, copied, port.name);
    }
    await engines.quit();
  });
}

test('two engines read a device by queue, a third is refused', { skip }, async (t) => {
  const folder = makeFolder(t);
  const link = (queueId: number, queues = '') => ({
    brick: { type: 'Dummy', inputs: [`dpdk:net_null0${queues}`], outputs: ['null:'] } satisfies BrickDescription,
    queueId,
  });
  const engines = startEngines(t, { runtimeFolder: folder }, [
    { name: 'q0', links: [link(0, '?queues=2')] },
    { name: 'q1', links: [link(1)] },
    { name: 'q2', links: [link(1)] },
  ]);
  const refused = await engines.started();
  assert.match(refused?.error ?? '', /is an input of engine "q1" already/);
  for (const name of ['q0', 'q1']) {
    await engines.statsUntil(name, 'packets come', ({ rxPackets }) => rxPackets > 0);
    await engines.stop(name);
  }
  await engines.quit();
});

test('a thousand starts and stops in the middle of traffic leave nothing behind', { skip }, async (t) => {
  const engines = startEngines(t, { runtimeFolder: makeFolder(t) }, []);
  assert.equal(await engines.started(), undefined);
  await checkCycles(engines, carry('e', 'dpdk:net_null0', 'dpdk:net_null1'), thousandStarts);
  await engines.quit();
});

for (const { port, error } of [
  {
    port: 'dpdk:net_none0',
    error:
      /^port "dpdk:net_none0": cannot open for input: DPDK has no device net_none0: no driver has such a name; check/,
  },
  {
    port: 'dpdk:net_pcap0,rx_pcap=/none/there.pcap',
    error: /^port "dpdk:net_pcap0,.*DPDK (has no device|does not start) net_pcap0/,
  },
  {
    port: 'dpdk:net_null0?queues=2&queue=2',
    error: /net_null0 has no receive queue 2, only 0 to 1; .* give it more \(\?queues=3\)$/,
  },
  {
    port: 'memif:/run/x.sock?role=guest',
    error: /^port "memif:\/run\/x.sock": cannot open for input: option "role" is "guest"; it must be server or client$/,
  },
  {
    port: 'memif:/none/x.sock',
    error:
      /^port "memif:\/none\/x.sock": cannot .*: the folder \/none of the socket, as its server: No such .*; make it$/,
  },
]) {
  test(`${port} says what is wrong`, { skip }, async (t) => {
    const brick = { type: 'Dummy', inputs: [port], outputs: ['null:'] };
    const engines = startEngines(t, { runtimeFolder: makeFolder(t) }, [{ name: 'e', links: [{ brick }] }]);
    assert.match((await engines.started())?.error ?? '', error);
    await engines.quit();
  });
}

test('two engines send by one queue: what both have sent arrives', { skip }, async (t) => {
  const engines = startEngines(t, { runtimeFolder: makeFolder(t) }, [
    carry('reader', 'dpdk:net_ring0', 'null:'),
    carry('first', 'dpdk:net_null0', 'dpdk:net_ring0'),
    carry('second', 'dpdk:net_null1', 'dpdk:net_ring0'),
  ]);
  assert.equal(await engines.started(), undefined);
  const ends = [];
  for (const name of ['first', 'second']) {
    await engines.statsUntil(name, 'many are sent', ({ txPackets }) => txPackets > 2_000_000);
  }
  for (const name of ['first', 'second']) ends.push(await engines.stop(name));
  const sent = ends.reduce((sum, { txPackets }) => sum + txPackets, 0);
  await engines.statsUntil('reader', 'all are received', ({ rxPackets }) => rxPackets === sent);
  await engines.stop('reader');
  await engines.quit();
});

test('buffers that wait in a device are back before their pool goes', { skip }, async (t) => {
  const engines = startEngines(t, { runtimeFolder: makeFolder(t) }, [carry('reader', 'dpdk:net_ring0', 'null:')]);
  assert.equal(await engines.started(), undefined);
  await engines.stop('reader');
  assert.equal(await engines.make(carry('writer', 'dpdk:net_null0', 'dpdk:net_ring0')), undefined);
  await engines.statsUntil('writer', 'the ring is full', ({ dropped }) => dropped > 0);
  await engines.stop('writer');
  assert.equal(await engines.tell('delete', 'writer'), undefined);
  assert.equal(await engines.tell('start', 'reader'), undefined);
  assert.equal((await engines.stop('reader')).rxPackets, 0);
  await engines.quit();
});

/** Starts an engine, and at once another that wants more queues of its device; prints how often that was refused. */
const growth = `
import { Brick, PktEngine } from ${JSON.stringify(join(projectFolder, 'index.ts'))};
const make = (name, input) => new PktEngine(name).link(new Brick('Dummy').connectInput(input).connectOutput('null:'));
let refused = 0;
for (let round = 0; round < 50; round++) {
  const engines = [make('first', 'dpdk:net_null0?queue=0'), make('second', 'dpdk:net_null0?queues=4&queue=1')];
  engines[0].start();
  try {
    engines[1].start();
    engines[1].stop();
  } catch (error) {
    if (/net_null0 runs with 1 queue; say queues=4/.test(error.message)) refused++;
  }
  engines[0].stop();
  for (const engine of engines) engine.delete();
}
console.log(refused);
`;

test('a device that an engine runs is not configured anew for another', { skip }, async (t) => {
  const file = join(makeFolder(t), 'growth.mts');
  writeFileSync(file, growth);
  const child = start(t, process.execPath, ['--import', 'tsx', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  assert.deepEqual(await child.ended(), { code: 0, signal: null }, child.output());
  assert.equal(child.stdout().trim(), '50');
});

test('an interface that comes back is found again by all ports of it', { skip: skip || skipLive('ip') }, async (t) => {
  const host = makeNamespace(t, 'back');
  const device = 'dpdk:net_af_packet0,iface=back0';
  connect(host, 'back0', host, 'back1');
  const engines = startEngines(t, { namespace: host, runtimeFolder: makeFolder(t) }, [carry('e', device, device)]);
  assert.equal(await engines.started(), undefined);
  host.run('ip', 'link', 'del', 'back0');
  await until('its end is reported', async () => engines.reports().some((text) => /the device is gone/.test(text)));
  await engines.stop('e');
  connect(host, 'back0', host, 'back1');
  assert.equal(await engines.tell('start', 'e'), undefined);
  await engines.stop('e');
  await engines.quit();
});
