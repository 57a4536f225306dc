// memif with dpdk-testpmd at the other end: both roles, both start orders, frames of all lengths, peers that come again.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { EngineStats } from '../../engine/counters.ts';
import { assertSameFrames, type Packet, readCapture, timed, writeCapture } from '../support/capture.ts';
import { skipTestpmd, startEcho } from '../support/dpdk.ts';
import { type EngineDescription, type EngineProcess, startEngines } from '../support/engine_process.ts';
import { makeFolder } from '../support/files.ts';
import { buildPacket } from '../support/packets.ts';

const skip = skipTestpmd();
const count = 400;
const flow = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'udp', sourcePort: 5000 } as const;

/** Frames of distinct content, of these payload lengths in turn. */
function makeFrames(payloads: readonly number[]): Packet[] {
  return timed(
    Array.from({ length: count }, (_, i) =>
      buildPacket({ ...flow, destinationPort: i + 1 }, { payload: payloads[i % payloads.length] ?? 0 }),
    ),
  );
}

/** An engine that sends a capture into a memif socket, and writes what comes back to another. */
function startEngine(t: TestContext, folder: string, options: string, frames: readonly Packet[]): EngineProcess {
  writeCapture(join(folder, 'in.pcap'), frames);
  const port = `memif:${join(folder, 'peer.sock')}?${options}`;
  return startEngines(t, { runtimeFolder: folder }, [
    {
      name: 'e',
      links: [
        { brick: { type: 'Dummy', inputs: [`pcap:${join(folder, 'in.pcap')}`], outputs: [`${port}&wait=1`] } },
        { brick: { type: 'Dummy', inputs: [port], outputs: [`pcap:${join(folder, 'out.pcap')}`] } },
      ],
    },
  ]);
}

/** Waits for the echo of every frame, stops the engine, and compares; returns what the engine counted. */
async function checkEcho(engines: EngineProcess, folder: string, frames: readonly Packet[]): Promise<EngineStats> {
  await engines.statsUntil('e', `${count} frames come back`, (stats) => stats.rxPackets === 2 * count);
  const stats = await engines.stop('e');
  assertSameFrames(readCapture(join(folder, 'out.pcap')).packets, frames, 'frames that came back');
  // The input is closed last, and the device stopped with it.
  const input = stats.ports.find(({ driver, role }) => driver === 'memif' && role === 'input');
  assert.equal(input?.others.buffers_in_use, 0, 'every buffer is back in its pool');
  assert.equal(stats.dropped, 0);
  return stats;
}

const peerRole = { server: 'client', client: 'server' } as const;
const peerDevice = (folder: string, role: 'server' | 'client', options = ''): string =>
  `net_memif0,role=${peerRole[role]},id=0,socket=${join(folder, 'peer.sock')},socket-abstract=no${options}`;

for (const role of ['server', 'client'] as const) {
  for (const first of ['engine', 'peer'] as const) {
    test(`as ${role}, ${first} first`, { skip }, async (t) => {
      const folder = makeFolder(t);
      const frames = makeFrames([18, 400, 1458]);
      // A client of DPDK needs its server: where ours is that and comes second, testpmd is told to start its port again.
      const echoFirst =
        first === 'peer' && role === 'client' ? await startEcho(t, peerDevice(folder, role)) : undefined;
      const engines = startEngine(t, folder, `role=${role}`, frames);
      assert.equal(await engines.started(), undefined);
      if (echoFirst === undefined) await startEcho(t, peerDevice(folder, role));
      await checkEcho(engines, folder, frames);
      await engines.quit();
    });
  }
}

test('only short frames are copied into buffers of the pool first', { skip }, async (t) => {
  const folder = makeFolder(t);
  const [short, long] = [18, 1458];
  const frames = makeFrames([short, long, long, long]);
  await startEcho(t, peerDevice(folder, 'client'));
  const engines = startEngine(t, folder, 'role=client', frames);
  assert.equal(await engines.started(), undefined);
  const output = (await checkEcho(engines, folder, frames)).ports.find(
    ({ driver, role }) => driver === 'memif' && role === 'output',
  );
  assert.equal(output?.others.tx_copies, count / 4);
  await engines.quit();
});

/** An engine that a generator feeds into a memif socket, and that writes what comes back to a capture. */
const generatorTo = (folder: string, generator: string): EngineDescription => {
  const port = `memif:${join(folder, 'peer.sock')}?role=client&rsize=12`;
  return {
    name: 'e',
    links: [
      { brick: { type: 'Dummy', inputs: [`null:?${generator}`], outputs: [`${port}&wait=1`] } },
      { brick: { type: 'Dummy', inputs: [port], outputs: [`pcap:${join(folder, 'out.pcap')}`] } },
    ],
  };
};

test('memory that the input writes anew for its next batch is read before that', { skip }, async (t) => {
  const folder = makeFolder(t);
  // Fewer than a ring holds: testpmd drops what does not fit. The generator has the frames of one batch, 256.
  const packets = 700;
  await startEcho(t, peerDevice(folder, 'client'));
  const engines = startEngines(t, { runtimeFolder: folder }, [
    generatorTo(folder, `frames=1000&packets=${packets}&flows=${packets}`),
  ]);
  assert.equal(await engines.started(), undefined);
  await engines.statsUntil('e', 'all come back', ({ rxPackets }) => rxPackets === 2 * packets);
  const stats = await engines.stop('e');
  assert.equal(stats.ports.find(({ driver, role }) => driver === 'memif' && role === 'output')?.others.tx_copies, 0);
  const sources = readCapture(join(folder, 'out.pcap')).packets.map(({ data }) => data.readUInt32BE(26) & 0xffffff);
  assert.deepEqual(
    sources,
    Array.from({ length: packets }, (_, i) => i),
    'each frame is of its own flow, in order',
  );
  await engines.quit();
});

test('stopped while it sends, again and again: each frame is sent or counted', { skip }, async (t) => {
  const folder = makeFolder(t);
  const sink = await startEcho(t, peerDevice(folder, 'client'));
  await sink.command('stop');
  await sink.command('set fwd rxonly');
  const engines = startEngines(t, { runtimeFolder: folder }, [generatorTo(folder, 'frames=1500')]);
  for (let round = 1; round <= 3; round++) {
    const had = round === 1 ? 0 : (await engines.stats('e')).txPackets;
    assert.equal(round === 1 ? await engines.started() : await engines.tell('start', 'e'), undefined);
    await sink.command('start');
    await engines.statsUntil('e', 'many are sent', ({ txPackets }) => txPackets > had + 100_000);
    // The peer does not look into its rings while a connection goes: DPDK's driver, as it is there, would end its process.
    await sink.command('stop');
    const stats = await engines.stop('e');
    assert.equal(stats.rxPackets, stats.txPackets + stats.dropped);
    for (const port of stats.ports)
      assert.equal(port.others.buffers_in_use ?? 0, 0, `${port.name}: every buffer is back`);
  }
  await engines.quit();
});

test('frames of several buffers, whole and in order', { skip }, async (t) => {
  const folder = makeFolder(t);
  const frames = makeFrames([18, 8958, 2100]);
  const engines = startEngine(t, folder, 'role=server', frames);
  assert.equal(await engines.started(), undefined);
  // Longer rings: testpmd drops what does not fit.
  await startEcho(t, peerDevice(folder, 'server', ',rsize=12'));
  await checkEcho(engines, folder, frames);
  await engines.quit();
});

test('a client that lends its buffers', { skip }, async (t) => {
  const folder = makeFolder(t);
  const frames = makeFrames([18, 400, 1458]);
  await startEcho(t, peerDevice(folder, 'client'));
  const engines = startEngine(t, folder, 'role=client&zero_copy=1', frames);
  assert.equal(await engines.started(), undefined);
  await checkEcho(engines, folder, frames);
  await engines.quit();
});

test('an engine starts again with the same peer, and again', { skip }, async (t) => {
  const folder = makeFolder(t);
  const frames = makeFrames([18, 1458]);
  const echo = await startEcho(t, peerDevice(folder, 'client'));
  const engines = startEngine(t, folder, 'role=client', frames);
  assert.equal(await engines.started(), undefined);
  for (let round = 1; round <= 4; round++) {
    await engines.statsUntil('e', 'frames come back', ({ rxPackets }) => rxPackets === round * 2 * count);
    // The peer does not look into its rings while a connection goes: DPDK's driver, as it is there, would end its process.
    await echo.command('stop');
    await engines.stop('e');
    assertSameFrames(readCapture(join(folder, 'out.pcap')).packets, frames, 'frames that came back');
    if (round === 4) break;
    assert.equal(await engines.tell('start', 'e'), undefined);
    await echo.command('start');
  }
  await engines.quit();
});

test('a client finds its server again', { skip }, async (t) => {
  const folder = makeFolder(t);
  const port = `memif:${join(folder, 'peer.sock')}?role=client`;
  const engines = startEngines(t, { runtimeFolder: folder }, [
    {
      name: 'e',
      links: [
        { brick: { type: 'Dummy', inputs: ['null:?pausable=0'], outputs: [port] } },
        { brick: { type: 'Dummy', inputs: [port], outputs: ['null:'] } },
      ],
    },
  ]);
  assert.equal(await engines.started(), undefined);
  const echoed = (stats: { ports: readonly { driver: string; role: string; rxPackets: number }[] }): number =>
    stats.ports.find(({ driver, role }) => driver === 'memif' && role === 'input')?.rxPackets ?? 0;
  await engines.statsUntil('e', 'drops without a peer', ({ ports }) =>
    ports.some(({ drops }) => (drops.link_down ?? 0) > 0),
  );
  let before = 0;
  for (let round = 0; round < 2; round++) {
    const echo = await startEcho(t, peerDevice(folder, 'client'));
    const had = before;
    await engines.statsUntil('e', 'packets come back', (stats) => echoed(stats) > had + 1000);
    await echo.quit();
    before = echoed(await engines.stats('e'));
  }
  await engines.stop('e');
  await engines.quit();
});

test('a second server of a socket is refused, and the first goes on', { skip }, async (t) => {
  const folder = makeFolder(t);
  const frames = makeFrames([18]);
  const engines = startEngine(t, folder, 'role=server', frames);
  assert.equal(await engines.started(), undefined);
  const brick = { type: 'Dummy', inputs: ['null:'], outputs: [`memif:${join(folder, 'peer.sock')}`] };
  for (let i = 0; i < 3; i++) {
    const second = startEngines(t, { runtimeFolder: makeFolder(t) }, [{ name: 'e', links: [{ brick }] }]);
    assert.match(
      (await second.started())?.error ?? '',
      /: this memif socket has a server already: Address already in use; end that program, .* \(\?role=client\)$/,
    );
    await second.quit();
  }
  await startEcho(t, peerDevice(folder, 'server'));
  await checkEcho(engines, folder, frames);
  await engines.quit();
});

test('a killed server leaves nothing that stops the next', { skip }, async (t) => {
  const folder = makeFolder(t);
  const frames = makeFrames([18]);
  const killed = startEngine(t, folder, 'role=server', frames);
  assert.equal(await killed.started(), undefined);
  killed.program.child.kill('SIGKILL');
  await killed.program.ended();
  assert.equal(existsSync(join(folder, 'peer.sock')), true, 'its socket is there still');
  const engines = startEngine(t, folder, 'role=server', frames);
  assert.equal(await engines.started(), undefined);
  await startEcho(t, peerDevice(folder, 'server'));
  await checkEcho(engines, folder, frames);
  assert.equal(await engines.tell('delete', 'e'), undefined);
  assert.equal(existsSync(join(folder, 'peer.sock')), false, 'the socket goes with the engine');
  await engines.quit();
});
