// FlowGen: capture in → capture out. The addresses are those that the definitions give, and nothing else is changed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Brick, type BrickArgument, BricksError, type EngineStats } from '../../index.ts';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import { assertSamePackets, type Packet, readCapture, timed, writeCapture } from '../support/capture.ts';
import { runGraph } from '../support/engines.ts';
import { corpusCapture, corpusManifest, demoCapture, makeFolder, skipCorpus } from '../support/files.ts';
import { flowHash, flowMac, generatorMac } from '../support/flow_macs.ts';
import { runLua } from '../support/lua_run.ts';
import { buildFragments, buildPacket, ethernet, type Flow, type PacketOptions, reverse } from '../support/packets.ts';
import { projectFolder, run, skipWithout } from '../support/programs.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
let folder = '';
before(() => {
  folder = makeFolder(root);
});

let files = 0;

/** What FlowGen makes of packets. */
async function rewrite(
  packets: readonly Packet[],
  argument: BrickArgument,
  linkType = 1,
): Promise<{ stats: EngineStats; packets: readonly Packet[]; file: string }> {
  const stem = join(folder, `flow${++files}`);
  writeCapture(`${stem}-in.pcap`, packets, { linkType });
  const file = `${stem}-out.pcap`;
  const brick = new Brick('FlowGen', argument).connectInput(`pcap:${stem}-in.pcap`).connectOutput(`pcap:${file}`);
  const stats = await runGraph(brick);
  return { stats, file, packets: readCapture(file).packets };
}

/** A packet with other addresses. */
function withMacs(packet: Packet, destination: Buffer, source: Buffer): Packet {
  return { ...packet, data: Buffer.concat([destination, source, packet.data.subarray(12)]) };
}

const flow4 = (i: number): Flow => ({
  source: `10.0.${i >> 8}.${i & 255}`,
  destination: `172.16.${i & 255}.9`,
  protocol: (['tcp', 'udp', 'sctp'] as const)[i % 3] ?? 'tcp',
  sourcePort: 1000 + i * 7,
  destinationPort: 443,
});
const flow6 = (i: number): Flow => ({
  ...flow4(i),
  source: `2001:db8:${i.toString(16)}::1`,
  destination: `fd00::${(i * 3).toString(16)}:2`,
});

/** Ways of wrapping a packet that leave its addresses and ports what they are, and the IP version that has them. */
const wrappings: readonly (readonly [PacketOptions, 4 | 6 | undefined])[] = [
  [{}, undefined],
  [{ vlans: [{ id: 100 }] }, undefined],
  [{ vlans: [{ id: 10, tpid: 0x88a8 }, { id: 20 }] }, undefined],
  [{ payload: 900 }, undefined],
  [{ ipOptions: Buffer.from([1, 1, 1, 0]) }, 4],
  [{ extensions: ['hop', 'destination'] }, 6],
];

/** Frames with the flow each belongs to. */
function everyFrame(): { frame: Buffer; flow: Flow }[] {
  const flows = Array.from({ length: 40 }, (_, i) => [flow4(i), flow6(i)]).flat();
  return flows.flatMap((flow) =>
    [flow, reverse(flow)].flatMap((direction) =>
      wrappings
        .filter(([, version]) => version === undefined || (version === 6) === flow.source.includes(':'))
        .map(([options]) => ({ frame: buildPacket(direction, options), flow: direction })),
    ),
  );
}

test('the reference of these tests agrees with the published vectors', () => {
  const first = { source: '66.9.149.187', destination: '161.142.100.80', sourcePort: 2794, destinationPort: 1766 };
  const second = {
    source: '3ffe:2501:200:1fff::7',
    destination: '3ffe:2501:200:3::1',
    sourcePort: 2794,
    destinationPort: 1766,
  };
  assert.deepEqual([flowHash(first), flowHash(first, 4)], [0x323e8fc2, 0x51ccc178]);
  assert.deepEqual([flowHash(second), flowHash(second, 4)], [0x2cc18cd5, 0x40207d3d]);
});

for (const [what, argument, id, tuple, prefix] of [
  ['the id alone', 0x1234, 0x1234, 2, 0xbeef],
  ['every option', { id: '0xfedcba', tuple: 4, prefix: 0x0280, hash: 'toeplitz' }, 0xfedcba, 4, 0x0280],
] as const) {
  test(`addresses are those of the flow, all else is kept: ${what}`, async () => {
    const frames = everyFrame();
    const packets = timed(frames.map(({ frame }) => frame));
    const { packets: got, stats } = await rewrite(packets, argument);
    const expected = packets.map((packet, i) => {
      const flow = frames[i]?.flow;
      assert.ok(flow !== undefined);
      return withMacs(packet, flowMac(flowHash(flow, tuple), prefix), generatorMac(id));
    });
    assertSamePackets(got, expected, what);
    assert.deepEqual(stats.drops.too_short, 0);
    assert.equal(stats.bricks[0]?.others.unhashed, 0);
  });
}

test('fragments, and protocols without ports, have the hash of their addresses', async () => {
  const flow = flow4(2);
  const frames = buildFragments(flow, 512, 7, { payload: 2000 });
  assert.ok(frames.length > 2);
  const packets = timed(frames);
  const { packets: got } = await rewrite(packets, { id: 5, tuple: 4 });
  const mac = flowMac(flowHash(flow));
  assertSamePackets(
    got,
    packets.map((packet) => withMacs(packet, mac, generatorMac(5))),
    'fragments',
  );
});

test('what is not IP has hash 0; runts are dropped, and so is what has no MAC addresses', async () => {
  const arp = ethernet(0x0806, Buffer.alloc(28, 1), { destinationMac: 'ff:ff:ff:ff:ff:ff' });
  const packets = timed([arp, Buffer.alloc(13, 7), Buffer.alloc(0), Buffer.alloc(14, 8)]);
  const { packets: got, stats } = await rewrite(packets, 9);
  const kept = [packets[0], packets[3]].map((packet) => {
    assert.ok(packet !== undefined);
    return withMacs(packet, flowMac(0), generatorMac(9));
  });
  assertSamePackets(got, kept, 'not IP');
  assert.equal(stats.drops.too_short, 2);
  assert.equal(stats.bricks[0]?.others.unhashed, 2);
  const raw = timed([buildPacket(flow4(1)).subarray(14), buildPacket(flow6(1)).subarray(14)]);
  const other = await rewrite(raw, 9, 101);
  assert.deepEqual([other.stats.drops.link_type, other.stats.txPackets], [2, 0]);
});

test('with trailers the original addresses are behind the frame, where there is room', async () => {
  const frames = [60, 1500, 65_523, 65_524, 65_535].map((bytes) =>
    buildPacket(flow4(1), { payload: bytes - buildPacket(flow4(1), { payload: 0 }).length }),
  );
  const cut: Packet = { timestampNs: 1_800_000_000_000_000_000n, wireLength: 200, data: buildPacket(flow4(1)) };
  const packets = [...timed(frames), cut];
  const { packets: got, stats } = await rewrite(packets, { id: 3, macs: 'trailer' });
  const expected = packets.map((packet) => {
    const changed = withMacs(packet, flowMac(flowHash(flow4(1))), generatorMac(3));
    if (packet.data.length !== packet.wireLength || packet.wireLength + 12 > 65_535) return changed;
    const data = Buffer.concat([changed.data, packet.data.subarray(0, 12)]);
    return { ...changed, data, wireLength: data.length };
  });
  assertSamePackets(got, expected, 'trailers');
  assert.equal(stats.bricks[0]?.others.no_trailer, 3);
});

test('beside FlowGen a Duplicator sends the packets as they were', async () => {
  const [changed, kept] = [join(folder, 'changed.pcap'), join(folder, 'kept.pcap')];
  const generator = new Brick('FlowGen', 1).connectInput('demo}0').connectOutput(`pcap:${changed}`);
  const brick = new Brick('Duplicator').connectInput(`pcap:${demoCapture}`);
  await runGraph(brick.connectOutput('demo{0', `pcap:${kept}`).link(generator));
  const packets = readCapture(demoCapture).packets;
  assertSamePackets(readCapture(kept).packets, packets, 'the other branch');
  const macs = readCapture(changed).packets.map(({ data }) => data.subarray(6, 12).toString('hex'));
  assert.deepEqual(new Set(macs), new Set(['bada55000001']));
  assert.equal(macs.length, packets.length);
});

test('tshark reads what comes out', { skip: skipWithout('tshark') }, async () => {
  const packets = timed(Array.from({ length: 20 }, (_, i) => buildPacket(flow4(i))));
  const { file } = await rewrite(packets, 0xabcdef);
  const fields = ['eth.dst', 'eth.src', 'ip.src', 'ip.checksum.status'].flatMap((name) => ['-e', name]);
  const lines = run('tshark', ['-r', file, '-o', 'ip.check_checksum:TRUE', '-T', 'fields', ...fields]);
  const colons = (mac: Buffer): string => mac.toString('hex').replace(/..(?!$)/g, '$&:');
  const expected = packets.map((_, i) =>
    [colons(flowMac(flowHash(flow4(i)))), colons(generatorMac(0xabcdef)), flow4(i).source, '1'].join('\t'),
  );
  assert.deepEqual(lines.trim().split('\n'), expected);
});

test('corpus: every Ethernet packet gets addresses and keeps the rest', { skip: skipCorpus }, async () => {
  const chosen = corpusManifest().filter((_, i) => i % 10 === 0);
  for (const { path } of chosen) {
    const out = join(folder, 'corpus.pcap');
    const brick = new Brick('FlowGen', 1).connectInput(`pcap:${corpusCapture(path)}`).connectOutput(`pcap:${out}`);
    const stats = await runGraph(brick);
    const { too_short = 0, link_type = 0 } = stats.bricks[0]?.drops ?? {};
    assert.equal(stats.bricks[0]?.txPackets, stats.rxPackets - too_short - link_type, path);
  }
});

/** The error that making a FlowGen throws. */
function errorOf(argument: BrickArgument): string {
  try {
    new Brick('FlowGen', argument);
  } catch (error) {
    assert.ok(error instanceof BricksError);
    return `${error.code} ${error.message}`;
  }
  return 'none';
}

test('the id is random unless it is given, and told', async () => {
  const ids = Array.from({ length: 50 }, () => Number(new Brick('FlowGen').options.id));
  assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffffff));
  assert.ok(new Set(ids).size > 40);
  assert.equal(new Brick('FlowGen', '0x1234').greeting, 'Flowgen id: 4660');
  assert.equal(new Brick('Dummy').greeting, undefined);
  const text = await runLua('Brick.new("FlowGen", { id = 0x1234 }) Brick.new("FlowGen")', makeBricksInterpreter());
  assert.match(text, /^Flowgen id: 4660\nFlowgen id: \d+\n$/);
});

test('the start-up script hands the id over as it is written, right or wrong', async () => {
  const script = readFileSync(join(projectFolder, 'scripts/startup-flowgen.lua'), 'utf8').replace(
    /\nstart\(\)\s*$/,
    '\n',
  );
  const runWith = (id: string): Promise<string> =>
    runLua(
      `os.getenv = function(name) return name == "BRICKS_FLOWGEN_ID" and "${id}" or nil end\n${script}
pe:unlink() pe:delete()`,
      makeBricksInterpreter(),
    );
  assert.equal(await runWith('0o11064'), 'Flowgen id: 4660\n');
  assert.match(await runWith(''), /^Flowgen id: \d+\n$/);
  await assert.rejects(runWith('worker'), /it must be a whole number from 0 to 16777215/);
});

test('wrong options are told', () => {
  assert.match(errorOf(0x1000000), /^OPTION_INVALID .*"id" is 16777216; it must be a whole number from 0 to 16777215/);
  assert.match(
    errorOf({ prefix: 0x0180 }),
    /"prefix" is 0x180; it must be without bit 0x0100: that is a group address/,
  );
  assert.match(errorOf({ hash: 'crc' }), /"hash" is "crc"; it must be "rss" or "toeplitz"/);
});
