// LoadBalancer: every packet of a connection, both directions, in one output; connections evenly over outputs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Brick, type BrickArgument } from '../../index.ts';
import { assertEven, balance, choose, flow4, flow6, folder, indices, randomFlows } from '../support/balancing.ts';
import {
  assertSameFrames,
  assertSubsequence,
  type Packet,
  readCapture,
  timed,
  writeCapture,
} from '../support/capture.ts';
import { assertAffinity, connectionsOf } from '../support/connections.ts';
import { runGraph } from '../support/engines.ts';
import { corpusCapture, corpusManifest, demoCapture, skipCorpus } from '../support/files.ts';
import { readAnyCapture } from '../support/live_bed.ts';
import {
  buildEcho,
  buildFragments,
  buildPacket,
  ethernet,
  type Flow,
  type PacketOptions,
  reverse,
} from '../support/packets.ts';
import { skipWithout } from '../support/programs.ts';

/** Asserts that each group of frames is in one output, and that the groups are not all in the same one. */
async function assertGroups(
  groups: readonly (readonly Buffer[])[],
  what: string,
  argument?: BrickArgument,
): Promise<void> {
  const chosen = await choose(groups.flat(), 16, argument);
  let at = 0;
  const seen = new Set<number>();
  groups.forEach((group, i) => {
    const mine = new Set(chosen.slice(at, at + group.length));
    at += group.length;
    assert.equal(mine.size, 1, `${what}: group ${i} is in outputs ${[...mine]}`);
    for (const output of mine) seen.add(output);
  });
  assert.ok(groups.length < 8 || seen.size > 3, `${what}: ${groups.length} groups are in ${seen.size} of 16 outputs`);
}

/** Every way of wrapping a packet that must not change where its connection goes. */
const wrappings: Readonly<Record<string, PacketOptions>> = {
  plain: {},
  'other MAC addresses': { sourceMac: '02:00:00:00:aa:01', destinationMac: '02:00:00:00:bb:02' },
  'one VLAN tag': { vlans: [{ id: 100 }] },
  'another VLAN tag': { vlans: [{ id: 200, priority: 7 }] },
  QinQ: { vlans: [{ id: 10, tpid: 0x88a8 }, { id: 20 }] },
  'QinQ of old': { vlans: [{ id: 10, tpid: 0x9100 }, { id: 20 }] },
  'three tags': { vlans: [{ id: 1, tpid: 0x88a8 }, { id: 2, tpid: 0x88a8 }, { id: 3 }] },
  'eight tags': { vlans: Array.from({ length: 8 }, (_, id) => ({ id: id + 1 })) },
  'another length': { payload: 900 },
  'no payload': { payload: 0 },
  'another identification and TTL': { identification: 4242, ttl: 3 },
};
const wrappings4: Readonly<Record<string, PacketOptions>> = {
  'IPv4 options': { ipOptions: Buffer.from([1, 1, 1, 0]) },
  'longest IPv4 options': { ipOptions: Buffer.alloc(40, 1) },
  'options in a VLAN': { ipOptions: Buffer.alloc(8, 1), vlans: [{ id: 5 }] },
};
const wrappings6: Readonly<Record<string, PacketOptions>> = {
  'hop-by-hop': { extensions: ['hop'] },
  'destination options': { extensions: ['destination'] },
  routing: { extensions: ['routing'] },
  AH: { extensions: ['ah'] },
  'atomic fragment': { extensions: ['atomicFragment'] },
  'all at once': { extensions: ['hop', 'destination', 'routing', 'atomicFragment', 'ah', 'destination'] },
  'extension in QinQ': { extensions: ['hop', 'routing'], vlans: [{ id: 1, tpid: 0x88a8 }, { id: 2 }] },
};

for (const tuple of [2, 4, 5]) {
  for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
    for (const [version, makeFlow, own] of [
      ['IPv4', flow4, wrappings4],
      ['IPv6', flow6, wrappings6],
    ] as const) {
      test(`${tuple}-tuple, ${protocol} over ${version}: both directions in one output, however wrapped`, async () => {
        const all = Object.values({ ...wrappings, ...own });
        const groups = Array.from({ length: 24 }, (_, i) => {
          const flow = makeFlow(i + 1, protocol);
          return [flow, reverse(flow)].flatMap((direction) => all.map((options) => buildPacket(direction, options)));
        });
        await assertGroups(groups, protocol, { tuple });
      });
    }
  }

  test(`${tuple}-tuple: a ping and its answer are in one output`, async () => {
    const groups = Array.from({ length: 24 }, (_, i) => [flow4(i), flow6(i)])
      .flat()
      .map((flow) => [buildEcho(flow, false), buildEcho(reverse(flow), true), buildEcho(flow, false, 7)]);
    await assertGroups(groups, 'echo', { tuple });
  });

  test(`${tuple}-tuple: the fragments of a datagram are in one output, both versions, in and out of order`, async () => {
    const vlans = [[], [{ id: 3 }], [{ id: 3, tpid: 0x88a8 }, { id: 4 }]];
    const groups = Array.from({ length: 48 }, (_, i) => {
      const flow = (i % 2 === 0 ? flow4 : flow6)(i + 1, i % 3 === 0 ? 'tcp' : 'udp');
      const fragments = buildFragments(flow, 64, 7000 + i, { payload: 400, vlans: vlans[i % 3] ?? [] });
      return i % 4 === 3 ? fragments.reverse() : fragments;
    });
    await assertGroups(groups, 'fragments', { tuple });
  });

  test(`${tuple}-tuple: frames without IP go by their pair of MAC addresses, both directions`, async () => {
    const groups = Array.from({ length: 32 }, (_, i) => {
      const one = `02:00:00:00:00:${(i + 16).toString(16)}`;
      const other = `02:00:00:00:01:${(i + 16).toString(16)}`;
      const types = [0x0806, 0x88cc, 0x88b5];
      return types.flatMap((type) => [
        ethernet(type, Buffer.alloc(46, i), { sourceMac: one, destinationMac: other }),
        ethernet(type, Buffer.alloc(46, 255 - i), { sourceMac: other, destinationMac: one }),
      ]);
    });
    await assertGroups(groups, 'MAC pairs', { tuple });
  });
}

test('2-tuple: fragments and whole datagrams of two hosts are in one output, whatever their ports', async () => {
  const groups = Array.from({ length: 24 }, (_, i) => {
    const flow = (i % 2 === 0 ? flow4 : flow6)(i + 1, 'udp');
    const directions = [flow, reverse(flow)];
    return directions.flatMap((direction) => [
      ...buildFragments(direction, 64, i, { payload: 300 }),
      buildPacket(direction),
      buildPacket({ ...direction, sourcePort: 1, destinationPort: 2 }),
      buildPacket({ ...direction, protocol: 'tcp' }),
      buildEcho(direction, false),
    ]);
  });
  await assertGroups(groups, 'hosts', 2);
});

test('4-tuple is the default, and spreads one pair of hosts by port; the 5-tuple also by protocol', async () => {
  const frames = Array.from({ length: 256 }, (_, i) => buildPacket({ ...flow4(1), sourcePort: 1024 + i }));
  const byDefault = await choose(frames, 8);
  assert.deepEqual(byDefault, await choose(frames, 8, 4), 'new("LoadBalancer") is new("LoadBalancer", 4)');
  assert.equal(new Set(byDefault).size, 8);
  assert.equal(new Set(await choose(frames, 8, 2)).size, 1, '2-tuple: one output');
  const pairs = indices(256).flatMap((i) => [buildPacket(flow4(i, 'tcp')), buildPacket(flow4(i, 'udp'))]);
  const together = async (tuple: number): Promise<number> => {
    const chosen = await choose(pairs, 8, tuple);
    return indices(256).filter((i) => chosen[2 * i] === chosen[2 * i + 1]).length;
  };
  for (const tuple of [2, 4]) assert.equal(await together(tuple), 256, `${tuple}-tuple: the protocol does not matter`);
  // Of 256 pairs, 32 by chance: 10 to 60 but for once in 100,000.
  const byChance = await together(5);
  assert.ok(byChance > 10 && byChance < 60, `5-tuple: ${byChance} of 256 pairs together`);
});

test('the choice is that of the flow alone: same in another run, another order, another batch', async () => {
  const frames = Array.from({ length: 200 }, (_, i) => buildPacket(flow4(i)));
  const once = await choose(frames, 7);
  const backwards = await choose([...frames].reverse(), 7);
  assert.deepEqual(backwards.reverse(), once);
});

// ------------------------------------------------------------------------------------------ evenness

const hex = (value: number): string => value.toString(16);

/** Sets with structure, as networks have it: each is a list of different flows. */
const structured: Readonly<Record<string, { readonly tuples: readonly number[]; readonly flows: readonly Flow[] }>> = {
  '10,000 random flows': { tuples: [2, 4, 5], flows: randomFlows(10_000) },
  '10.0.x.i with 10.1.x.i': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({ ...flow4(i), sourcePort: 5000, destinationPort: 5000 })),
  },
  'neighbours: 10.0.x.2i with 10.0.x.2i+1': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({
      ...flow4(0),
      source: `10.0.${i >> 7}.${(2 * i) & 255}`,
      destination: `10.0.${i >> 7}.${(2 * i + 1) & 255}`,
    })),
  },
  'an address with itself': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({
      ...flow4(i),
      destination: flow4(i).source,
      sourcePort: 53,
      destinationPort: 53,
    })),
  },
  'clients of one server': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({
      ...flow4(0),
      source: `10.0.${i >> 8}.${i & 255}`,
      destination: '192.0.2.1',
      sourcePort: 50000,
    })),
  },
  'all pairs of 64 hosts': {
    tuples: [2, 4, 5],
    flows: indices(64).flatMap((a) =>
      indices(a).map((b) => ({ ...flow4(0), source: `10.0.0.${a}`, destination: `10.0.0.${b}` })),
    ),
  },
  'networks: 10.i.0.1 with 10.i.0.2': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({
      ...flow4(0),
      source: `${10 + (i >> 8)}.${i & 255}.0.1`,
      destination: `${10 + (i >> 8)}.${i & 255}.0.2`,
    })),
  },
  'sequential ports to one server': {
    tuples: [4, 5],
    flows: indices(4096).map((i) => ({ ...flow4(0), sourcePort: 1024 + i })),
  },
  'even ports to one server': {
    tuples: [4, 5],
    flows: indices(4096).map((i) => ({ ...flow4(0), sourcePort: 32768 + 2 * i })),
  },
  'the same port at both ends': {
    tuples: [4, 5],
    flows: indices(4096).map((i) => ({ ...flow4(0, 'udp'), sourcePort: 16384 + i, destinationPort: 16384 + i })),
  },
  'port p with p+1': {
    tuples: [4, 5],
    flows: indices(4096).map((i) => ({
      ...flow4(0, 'udp'),
      sourcePort: 16384 + 2 * i,
      destinationPort: 16385 + 2 * i,
    })),
  },
  'host and port rise together': { tuples: [4, 5], flows: indices(4096).map((i) => flow4(i)) },
  // Every byte of an IPv6 address counts: one of the 16 differs.
  ...Object.fromEntries(
    indices(16).map((byte) => [
      `IPv6, byte ${byte} of the source differs`,
      {
        tuples: [2, 4, 5],
        flows: indices(256).map((i) => {
          const groups = [0x2001, 0xdb8, 1, 2, 3, 4, 5, 6];
          const old = groups[byte >> 1] ?? 0;
          groups[byte >> 1] = byte % 2 === 0 ? (old & 255) | (i << 8) : (old & 0xff00) | i;
          return { ...flow6(0), source: groups.map(hex).join(':'), destination: '2001:db8::53' };
        }),
      },
    ]),
  ),
  'IPv6 /64s that differ in one byte, the same at both ends': {
    tuples: [2, 4, 5],
    flows: indices(256).map((i) => ({
      ...flow6(0),
      source: `2001:db8:0:${hex(i)}::1`,
      destination: `2001:db8:1:${hex(i)}::1`,
    })),
  },
  'IPv6 interface numbers rise at both ends': {
    tuples: [2, 4, 5],
    flows: indices(4096).map((i) => ({
      ...flow6(0),
      source: `2001:db8::${hex(i + 1)}`,
      destination: `2001:db8:1::${hex(i + 1)}`,
    })),
  },
};

for (const [name, { tuples, flows }] of Object.entries(structured)) {
  test(`even at level 0.0001: ${name}`, async () => {
    const frames = flows.map((flow) => buildPacket(flow, { payload: 0 }));
    for (const tuple of tuples) {
      for (const outputs of [4, 7, 16])
        assertEven(await choose(frames, outputs, tuple), outputs, `${tuple}-tuple, ${name}`);
    }
  });
}

// ------------------------------------------------------------------------------------------ chains

test('chained balancers do not repeat the choice of the one above', async () => {
  const packets = timed(indices(8192).map((i) => buildPacket(flow4(i), { payload: 0 })));
  const stem = join(folder, 'chain');
  writeCapture(`${stem}.pcap`, packets);
  for (const outputs of [2, 4]) {
    const names = indices(outputs);
    const leaf = new Brick('LoadBalancer')
      .connectInput('mid}0')
      .connectOutput(...names.map((i) => `pcap:${stem}-leaf${i}.pcap`));
    const middle = new Brick('LoadBalancer')
      .connectInput('top}0')
      .connectOutput('mid{0', ...names.slice(1).map((i) => `pcap:${stem}-mid${i}.pcap`));
    const top = new Brick('LoadBalancer')
      .connectInput(`pcap:${stem}.pcap`)
      .connectOutput('top{0', ...names.slice(1).map((i) => `pcap:${stem}-top${i}.pcap`));
    await runGraph(top.link(middle.link(leaf)));
    const read = (kind: string, from: number): Packet[][] =>
      names.slice(from).map((i) => [...readCapture(`${stem}-${kind}${i}.pcap`).packets]);
    const leaves = read('leaf', 0);
    const mids = read('mid', 1);
    const tops = read('top', 1);
    assertSameFrames([...leaves, ...mids, ...tops].flat(), packets, 'chain');
    const expand = (lists: readonly (readonly Packet[])[]): number[] => lists.flatMap((list, i) => list.map(() => i));
    assertEven(expand(leaves), outputs, `third of a chain of ${outputs}`);
    assertEven(expand([leaves.flat(), ...mids]), outputs, `second of a chain of ${outputs}`);
    assertEven(expand([[...leaves, ...mids].flat(), ...tops]), outputs, `first of a chain of ${outputs}`);
  }
});

test('a balancer below a PcapReader with several outputs does not repeat its choice', async () => {
  const stem = join(folder, 'reader-chain');
  writeCapture(`${stem}.pcap`, timed(indices(4096).map((i) => buildPacket(flow4(i), { payload: 0 }))));
  const leaf = new Brick('LoadBalancer')
    .connectInput('r}0')
    .connectOutput(...indices(4).map((i) => `pcap:${stem}-${i}.pcap`));
  await runGraph(
    new Brick('PcapReader').connectInput(`${stem}.pcap`).connectOutput('r{0', 'null:', 'null:', 'null:').link(leaf),
  );
  assertEven(
    indices(4).flatMap((i) => readCapture(`${stem}-${i}.pcap`).packets.map(() => i)),
    4,
    'below a PcapReader',
  );
});

// ------------------------------------------------------------------------------------------ tshark as oracle

const skipTshark = skipWithout('tshark', 'editcap');

test('demo.pcap: connections as tshark sees them stay together', { skip: skipTshark }, async () => {
  const packets = readCapture(demoCapture).packets;
  const connections = connectionsOf(demoCapture);
  for (const tuple of [2, 4, 5]) {
    const got = await balance(packets, 4, tuple);
    for (const list of got) assertSubsequence(list, packets, 'order is kept');
    assertSameFrames(got.flat(), packets, 'nothing lost');
    assert.ok(assertAffinity(packets, connections, got, `demo.pcap, ${tuple}-tuple`) > 40, 'connections were found');
  }
});

test('corpus: connections as tshark sees them stay together', { skip: skipTshark || skipCorpus }, async () => {
  const chosen = corpusManifest().filter(
    ({ linkTypes, packets, features, maxLength }) =>
      linkTypes === '1' &&
      packets >= 30 &&
      packets < 3000 &&
      maxLength < 60000 &&
      /vlan|qinq|ip-frag|ipv6|ip-options|sctp|ip6-/.test(features),
  );
  assert.ok(chosen.length > 30, 'the corpus has such captures');
  let connections = 0;
  for (const { path } of chosen.slice(0, 60)) {
    const file = corpusCapture(path);
    const packets = readAnyCapture(file, folder);
    const names = connectionsOf(file);
    for (const tuple of [2, 4, 5])
      connections += assertAffinity(packets, names, await balance(packets, 8, tuple), `${path}, ${tuple}-tuple`);
  }
  assert.ok(connections > 500, `${connections} connections`);
});
