// The main job, live: captures replayed over a veth pair into packet: → LoadBalancer → four pipes that four
// unmodified tcpdump processes read. Together they write exactly what was sent, each connection in one pipe.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  assertSameFrames,
  assertSubsequence,
  frameText,
  type Packet,
  timed,
  writeCapture,
} from '../support/capture.ts';
import { assertAffinity, connectionsOf } from '../support/connections.ts';
import { startEngines } from '../support/engine_process.ts';
import { corpusCapture, demoCapture, skipCorpus } from '../support/files.ts';
import { watchLeaks } from '../support/leaks.ts';
import { engineInterface, type LiveBed, makeLiveBed, readAnyCapture, readersOf, replay } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { buildEcho, buildFragments, buildPacket, type Flow, reverse } from '../support/packets.ts';
import { commandOf, run, start, until } from '../support/programs.ts';
import { pipeProgram, type Reader, startReader } from '../support/readers.ts';

const skip = skipLive('tcpreplay', 'tcpdump', 'tshark', 'editcap');
const pipes = [0, 1, 2, 3].map((i) => `${engineInterface}}${i}`);

/** Captures of real traffic whose packets a wire can carry whole. */
const corpusNames = [
  'zeek/pppoe-over-qinq.pcap',
  'tcpdump/802.1ad_QinQ.pcap',
  'tcpdump/ldp-common-session.pcap',
  'tcpdump/rpvstp-trunk-native-vid5.pcap',
  'tcpdump/afs.pcap',
  'zeek/ipv6-http-atomic-frag.pcap',
  'zeek/ipv6-reassembly-state-leak.pcap',
  'zeek/ftp/ipv6.pcap',
  'zeek/communityid/sctp.pcap',
  'zeek/cisco-fabric-path.pcap',
  'zeek/var-services-std-ports.pcap',
  'ipfixprobe/sip.pcap',
  'ipfixprobe/http.pcap',
  'tcpdump/of13_ericsson.pcapng',
];

/** Frames that captures seldom hold: every header in both directions, up to 60 kB long. */
function builtFrames(): Buffer[] {
  const frames: Buffer[] = [];
  for (let i = 0; i < 24; i++) {
    const isV6 = i % 2 === 1;
    const flow: Flow = {
      source: isV6 ? `fd00:1::${i + 1}` : `10.0.0.${i + 1}`,
      destination: isV6 ? `fd00:2::${i + 1}` : `10.1.0.${i + 1}`,
      protocol: (['tcp', 'udp', 'sctp'] as const)[i % 3] ?? 'tcp',
      sourcePort: 40000 + i,
      destinationPort: 443,
    };
    const vlans = [{ id: 100 + i, tpid: 0x88a8 }, { id: 7, priority: 5 }, { id: 9 }].slice(0, i % 4);
    const payload = [20, 1000, 8000, 60000][i % 4] ?? 20;
    for (const direction of [flow, reverse(flow)]) {
      frames.push(
        buildPacket(direction, { vlans, payload, ipOptions: Buffer.from([1, 1, 1, 0]) }),
        buildPacket(direction, { vlans, payload: 30, extensions: ['hop', 'routing', 'destination'] }),
        ...buildFragments(direction, 512, 1000 + i, { vlans, payload: 1200 }),
        buildEcho(direction, direction !== flow, i, { vlans }),
      );
    }
  }
  return frames;
}

/** What was sent, and what tshark says belongs together. */
interface Sent {
  readonly files: readonly string[];
  readonly packets: readonly (readonly Packet[])[];
  readonly connections: readonly (readonly (string | undefined)[])[];
}

function prepare(bed: LiveBed): Sent {
  const built = join(bed.folder, 'built.pcap');
  writeCapture(built, timed(builtFrames()));
  const files = [demoCapture, built, ...(skipCorpus === false ? corpusNames.map(corpusCapture) : [])];
  return {
    files,
    packets: files.map((file) => readAnyCapture(file, bed.folder)),
    connections: files.map(connectionsOf),
  };
}

/** Everything that the four files together must satisfy. */
async function checkReaders(sent: Sent, readers: readonly Reader[]): Promise<void> {
  const all = sent.packets.flat();
  const written = await Promise.all(readers.map((reader) => reader.packets()));
  assertSameFrames(written.flat(), all, 'the four files together');
  written.forEach((packets, i) => {
    assertSubsequence(packets, all, `pipe ${i} keeps the order`, frameText);
    for (const { data, wireLength } of packets) assert.equal(wireLength, data.length, 'every frame is whole');
    assert.ok(packets.length > 0, `pipe ${i} has its share`);
  });
  sent.files.forEach((file, i) => {
    assertAffinity(sent.packets[i] ?? [], sent.connections[i] ?? [], written, file, frameText);
  });
}

function startReaders(t: TestContext, bed: LiveBed): Reader[] {
  return pipes.map((pipe, i) => startReader(t, pipe, join(bed.folder, `pipe${i}.pcap`), bed.runtimeFolder));
}

test('four tcpdump processes on four pipes write exactly what tcpreplay sent', { skip }, async (t) => {
  const noLeaks = watchLeaks();
  await t.test('through the TypeScript API', async (t) => {
    const bed = makeLiveBed(t, 65535);
    const sent = prepare(bed);
    const brick = {
      type: 'LoadBalancer',
      argument: 4,
      inputs: [`packet:${engineInterface}`],
      outputs: pipes.map((pipe) => pipe.replace('}', '{')),
    };
    const place = { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder };
    const engines = startEngines(t, place, [{ name: 'e0', links: [{ brick }] }]);
    assert.equal(await engines.started(), undefined);
    const readers = startReaders(t, bed);
    await engines.statsUntil('e0', 'four readers', (stats) => readersOf(stats) === 4);
    replay(bed, sent.files);
    const count = sent.packets.flat().length;
    const isThere = (packets: number): boolean => packets >= count;
    await engines.statsUntil('e0', `${count} packets`, (stats) => isThere(stats.rxPackets) && stats.inFlight === 0);
    const stats = await engines.stop('e0');
    await checkReaders(sent, readers);
    assert.equal(stats.rxPackets, count, 'received what was sent');
    assert.equal(
      stats.rxBytes,
      sent.packets.flat().reduce((sum, { wireLength }) => sum + wireLength, 0),
      'every byte',
    );
    assert.deepEqual([stats.txPackets, stats.dropped, stats.lost], [count, 0, 0], 'nothing lost');
    assert.deepEqual(engines.reports(), []);
    await engines.quit();
  });

  await t.test('through bricks -f scripts/startup-one-thread.lua', async (t) => {
    const bed = makeLiveBed(t, 65535);
    const sent = prepare(bed);
    const bricks = commandOf('bricks', ['-f', 'scripts/startup-one-thread.lua']);
    const { command, args } = bed.receiver.inside(...bricks);
    const env = { ...process.env, BRICKS_RUNTIME_DIR: bed.runtimeFolder, BRICKS_IFACE: engineInterface };
    const program = start(t, command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const listed = (): string[] =>
      run('env', [`BRICKS_RUNTIME_DIR=${bed.runtimeFolder}`, pipeProgram, '--list'])
        .split('\n')
        .slice(1);
    await until('four pipes to be there', () => {
      assert.equal(program.child.exitCode, null, program.output());
      return pipes.every((pipe) => listed().some((line) => line.includes(pipe)));
    });
    const readers = startReaders(t, bed);
    await until('four readers to attach', () =>
      pipes.every((pipe) => listed().some((line) => line.startsWith(pipe) && line.includes('bricks-pipe'))),
    );
    replay(bed, sent.files);
    const count = sent.packets.flat().length;
    await until('every packet to be written', () => {
      const sizes = readers.map((reader) => Number(run('stat', ['-c', '%s', reader.file])));
      const bytes = sent.packets.flat().reduce((sum, { data }) => sum + data.length + 16, 4 * 24);
      return sizes.reduce((sum, size) => sum + size, 0) >= bytes;
    });
    const exit = await program.interrupt();
    assert.deepEqual(exit, { code: 0, signal: null }, `Ctrl-C ends it cleanly: ${program.output()}`);
    await checkReaders(sent, readers);
    assert.match(program.output(), new RegExp(`\\b${count}\\b`), 'the final statistics name the number of packets');
  });
  await noLeaks();
});
