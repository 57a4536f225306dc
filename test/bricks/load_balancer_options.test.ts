// LoadBalancer's options: the split of packet-bricks bit by bit, weights, tunnels, fragments, and the count of flows.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Brick, type BrickArgument, PktEngine } from '../../index.ts';
import {
  assertEven,
  choose,
  flow4,
  flow6,
  folder,
  indices,
  outputOf,
  randomFlows,
  randomNumbers,
} from '../support/balancing.ts';
import { assertSameFrames, readCapture, timed, writeCapture } from '../support/capture.ts';
import { engineName, runGraph } from '../support/engines.ts';
import { demoCapture } from '../support/files.ts';
import {
  addressBytes,
  buildEcho,
  buildFragments,
  buildPacket,
  ethernet,
  type Flow,
  ipv4,
  protocols,
  reverse,
  segment,
} from '../support/packets.ts';
import { run, skipWithout } from '../support/programs.ts';

// ------------------------------------------------------------------------------------------ toeplitz

/** The definition, over 12 bytes: for each bit that is set, the 32 bits of the key from its place on. */
function toeplitz(input: Buffer): number {
  const key = indices(16).flatMap(() => [0x50, 0x6d]);
  const keyBit = (place: number): number => ((key[place >> 3] ?? 0) >> (7 - (place & 7))) & 1;
  let hash = 0;
  for (let place = 0; place < 96; place++) {
    if ((((input[place >> 3] ?? 0) >> (7 - (place & 7))) & 1) === 0) continue;
    for (let i = 0; i < 32; i++) hash ^= keyBit(place + i) << (31 - i);
  }
  return hash >>> 0;
}

/** What packet-bricks computes: both numbers plus the level, cut to 16 bits. */
function bricksHash(addresses: Buffer, ports: readonly [number, number], level: number): number {
  const input = Buffer.alloc(12);
  addresses.copy(input);
  ports.forEach((port, i) => {
    input.writeUInt16BE((port + level) & 0xffff, 8 + 2 * i);
  });
  return toeplitz(input);
}

const noPorts = [0xfdff, 0xfeff] as const;

interface Case {
  readonly frame: Buffer;
  readonly hash: (tuple: number, level: number) => number;
}

function addressesOf({ source, destination }: Pick<Flow, 'source' | 'destination'>): Buffer {
  return Buffer.concat([addressBytes(source), addressBytes(destination)]);
}

/** Frames of every kind that packet-bricks tells apart, with what it hashes of each. */
function bricksCases(): Case[] {
  const random = randomNumbers(7);
  return randomFlows(400).map((flow, i): Case => {
    const addresses = addressesOf(flow);
    const ports = [flow.sourcePort, flow.destinationPort] as const;
    const whole: Case['hash'] = (tuple, level) => bricksHash(addresses, tuple === 4 ? ports : noPorts, level);
    const without: Case['hash'] = (_, level) => bricksHash(addresses, noPorts, level);
    switch (i % 6) {
      case 0:
        return { frame: buildEcho(flow, i % 12 === 0), hash: without };
      case 1:
        return { frame: buildPacket({ ...flow, protocol: 'sctp' }), hash: without };
      case 2:
        return { frame: buildPacket(flow, { vlans: [{ id: i }] }), hash: whole };
      case 3: {
        const outer = { source: `192.0.2.${i % 256}`, destination: '198.51.100.7' };
        const inner = ipv4(flow, protocols[flow.protocol], segment(flow, Buffer.alloc(8)));
        const outside = addressesOf(outer);
        return {
          frame: ethernet(0x0800, ipv4(outer, 4, inner)),
          hash: (tuple, level) => (tuple === 4 ? whole(4, level) : bricksHash(outside, noPorts, level)),
        };
      }
      case 4: {
        const mac = (): Buffer => Buffer.from([2, ...indices(5).map(() => Math.floor(random() * 256))]);
        const text = (bytes: Buffer): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
        const [from, to] = [mac(), mac()];
        const frame = ethernet(0x0806, Buffer.alloc(46), { sourceMac: text(from), destinationMac: text(to) });
        // As numbers whose highest byte is the last of the address.
        const numbers = Buffer.concat([Buffer.from(from.subarray(2)).reverse(), Buffer.from(to.subarray(2)).reverse()]);
        return { frame, hash: (_, level) => bricksHash(numbers, noPorts, level) };
      }
      default:
        return {
          frame: buildPacket(i % 12 === 5 ? reverse(flow) : flow, { ipOptions: Buffer.alloc((i % 40) & 4, 1) }),
          hash: whole,
        };
    }
  });
}

test('the bit-serial hash of the tests agrees with vectors by hand', () => {
  // One bit: the key from there on. Place 15 is the key rotated right by one.
  assert.equal(toeplitz(Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), 0x506d506d);
  assert.equal(toeplitz(Buffer.from([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), 0xa836a836);
  assert.equal(bricksHash(Buffer.alloc(8), noPorts, 1), 0x36a836a8);
});

test('toeplitz: each packet is where packet-bricks sends it', async () => {
  const cases = bricksCases();
  for (const tuple of [2, 4]) {
    for (const outputs of [1, 2, 3, 7, 16]) {
      const chosen = await choose(
        cases.map(({ frame }) => frame),
        outputs,
        { tuple, hash: 'toeplitz' },
      );
      const expected = cases.map(({ hash }) => hash(tuple, 1) % outputs);
      assert.deepEqual(chosen, expected, `${tuple}-tuple, ${outputs} outputs`);
    }
  }
});

test('toeplitz: the seed is the level in the graph, whatever bricks stand above', async () => {
  const cases = bricksCases();
  const packets = timed(cases.map(({ frame }) => frame));
  const stem = join(folder, 'level');
  writeCapture(`${stem}.pcap`, packets);
  const leaf = new Brick('LoadBalancer', { hash: 'toeplitz' })
    .connectInput('mid}0')
    .connectOutput(...indices(5).map((i) => `pcap:${stem}-${i}.pcap`));
  const middle = new Brick('LoadBalancer', { hash: 'toeplitz' }).connectInput('top}0').connectOutput('mid{0', 'null:');
  const top = new Brick('Duplicator').connectInput(`pcap:${stem}.pcap`).connectOutput('top{0', 'null:');
  await runGraph(top.link(middle.link(leaf)));
  const got = indices(5).map((i) => readCapture(`${stem}-${i}.pcap`).packets);
  const expected = cases.map(({ hash }) => (hash(4, 2) % 2 === 0 ? hash(4, 3) % 5 : -1));
  assert.deepEqual(outputOf(packets, got), expected);
});

test('toeplitz: even over random flows, and not where the words of both ends cancel', async () => {
  const frames = randomFlows(10_000).map((flow) => buildPacket(flow, { payload: 0 }));
  for (const tuple of [2, 4, 5]) assertEven(await choose(frames, 7, { tuple, hash: 'toeplitz' }), 7, `${tuple}-tuple`);
  const mirrored = indices(256).map((i) => buildPacket({ ...flow4(i), sourcePort: 5000, destinationPort: 5000 }));
  assert.equal(new Set(await choose(mirrored, 7, { hash: 'toeplitz' })).size, 1, '10.0.0.i with 10.1.0.i');
  const weights = [1, 2, 4];
  assertEven(await choose(frames, 3, { hash: 'toeplitz', weights }), weights, 'with weights');
});

test('toeplitz: every byte of an IPv6 address and the ports count, both directions are together', async () => {
  const flows = indices(64).map((i) => ({ ...flow6(i), sourcePort: 1000 + i * i }));
  const options = { hash: 'toeplitz' } as const;
  const there = await choose(
    flows.map((flow) => buildPacket(flow)),
    16,
    options,
  );
  const back = await choose(
    flows.map((flow) => buildPacket(reverse(flow), { extensions: ['hop'] })),
    16,
    options,
  );
  assert.deepEqual(back, there);
  assert.ok(new Set(there).size > 8);
});

// ------------------------------------------------------------------------------------------ nic

test('nic: where no card has computed a hash, flows are where symmetric sends them', async () => {
  const frames = randomFlows(500).map((flow, i) => buildPacket(i % 2 === 0 ? flow : reverse(flow)));
  for (const options of [{ tuple: 2 }, { tuple: 4 }, { tuple: 5 }, { tuple: 4, weights: [1, 2, 1, 2, 1] }])
    assert.deepEqual(await choose(frames, 5, { ...options, hash: 'nic' }), await choose(frames, 5, options));
});

test('nic: neither tunnels nor fragments, which the card knows nothing of', () => {
  const refused = (options: BrickArgument, message: string): void => {
    assert.throws(() => new Brick('LoadBalancer', options), { code: 'OPTION_INVALID', message });
  };
  const why = 'with hash = "nic": the network card does not look further';
  refused(
    { hash: 'nic', tunnel: 'inner' },
    `brick "LoadBalancer": option "tunnel" is "inner"; it must be "outer" ${why}`,
  );
  refused({ hash: 'nic', fragments: 64 }, `brick "LoadBalancer": option "fragments" is 64; it must be 0 ${why}`);
  assert.equal(new Brick('LoadBalancer', { hash: 'nic', tunnel: 'outer', fragments: 0 }).options.hash, 'nic');
});

// ------------------------------------------------------------------------------------------ weights

test('weights: shares of the flows are what they say', async () => {
  const frames = randomFlows(10_000).map((flow) => buildPacket(flow, { payload: 0 }));
  for (const weights of [
    [1, 1, 2],
    [0.5, 0.25, 0.125, 0.125],
    [3, 1],
    [1, 1, 1, 1, 1, 1, 1],
  ])
    assertEven(await choose(frames, weights.length, { weights }), weights, `weights ${weights}`);
  const none = await choose(frames, 3, { weights: '1,0,1' });
  assert.deepEqual(new Set(none), new Set([0, 2]), 'a weight of 0 is nothing');
  assert.deepEqual(
    await choose(frames.slice(0, 500), 4, { weights: [2, 2, 2, 2] }),
    await choose(frames.slice(0, 500), 4),
    'equal weights are none',
  );
});

test('weights that do not fit the outputs are refused when the brick is linked', () => {
  const link = (weights: readonly number[]) => () => {
    const engine = new PktEngine(engineName());
    try {
      engine.link(
        new Brick('LoadBalancer', { weights }).connectInput('null:').connectOutput('null:', 'null:', 'null:'),
      );
    } finally {
      engine.delete();
    }
  };
  const wanted = 'it must be one number for each of its 3 outputs, not all 0';
  for (const weights of [
    [1, 2],
    [1, 2, 3, 4],
    [0, 0, 0],
  ]) {
    const message = `brick "LoadBalancer": option "weights" is ${JSON.stringify(weights)}; ${wanted}`;
    assert.throws(link(weights), { code: 'OPTION_INVALID', message });
  }
  link([0, 0, 1])();
});

test('weights below another balancer are what they say, too', async () => {
  const stem = join(folder, 'weights-below');
  const weights = [1, 2, 3];
  writeCapture(`${stem}.pcap`, timed(randomFlows(12_000).map((flow) => buildPacket(flow, { payload: 0 }))));
  const leaf = new Brick('LoadBalancer', { weights })
    .connectInput('top}0')
    .connectOutput(...indices(3).map((i) => `pcap:${stem}-${i}.pcap`));
  const top = new Brick('LoadBalancer', { weights: [3, 1] }).connectInput(`pcap:${stem}.pcap`);
  await runGraph(top.connectOutput('top{0', 'null:').link(leaf));
  const chosen = indices(3).flatMap((i) => readCapture(`${stem}-${i}.pcap`).packets.map(() => i));
  assert.ok(chosen.length > 8000, 'three quarters came through');
  assertEven(chosen, weights, 'below');
});

// ------------------------------------------------------------------------------------------ tunnels and fragments

/** The outer headers are the same for all: only what is inside tells flows apart. */
const tunnels: Readonly<Record<string, (flow: Flow) => Buffer>> = (() => {
  const ends = { source: '192.0.2.1', destination: '192.0.2.2' };
  const inside = (flow: Flow): Buffer => buildPacket(flow).subarray(14);
  const udp = (port: number, payload: Buffer): Buffer => {
    const outer: Flow = { ...ends, protocol: 'udp', sourcePort: 40000, destinationPort: port };
    return ethernet(0x0800, ipv4(ends, protocols.udp, segment(outer, payload)));
  };
  return {
    'IP in IP': (flow) => ethernet(0x0800, ipv4(ends, flow.source.includes(':') ? 41 : 4, inside(flow))),
    GRE: (flow) => {
      const gre = Buffer.from([0, 0, ...(flow.source.includes(':') ? [0x86, 0xdd] : [8, 0])]);
      return ethernet(0x0800, ipv4(ends, 47, Buffer.concat([gre, inside(flow)])));
    },
    VXLAN: (flow) => udp(4789, Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 0, 42, 0]), buildPacket(flow)])),
  };
})();

for (const [name, wrap] of Object.entries(tunnels)) {
  test(`inner: a flow in ${name} is with the same flow outside, both directions; outer: all in one output`, async () => {
    const flows = indices(64).map((i) => (i % 2 === 0 ? flow4 : flow6)(i));
    const wrapped = flows.flatMap((flow) => [wrap(flow), wrap(reverse(flow))]);
    for (const options of [{ tuple: 2 }, { tuple: 4 }, { tuple: 5 }, { tuple: 4, weights: [1, 2, 1, 2, 1, 2, 1, 2] }]) {
      const plain = await choose(
        flows.map((flow) => buildPacket(flow)),
        8,
        { ...options, tunnel: 'inner' },
      );
      const inner = await choose(wrapped, 8, { ...options, tunnel: 'inner' });
      assert.deepEqual(
        inner,
        plain.flatMap((output) => [output, output]),
        JSON.stringify(options),
      );
    }
    assert.equal(new Set(await choose(wrapped, 8, { tuple: 4 })).size, 1, 'outer');
  });
}

test('inner: what was seen through is counted, and what could not be', async () => {
  const stem = join(folder, 'inner');
  const whole = indices(10).flatMap((i) => Object.values(tunnels).map((wrap) => wrap(flow4(i))));
  const cut = indices(5).map((i) => (tunnels.GRE ?? buildPacket)(flow4(i)).subarray(0, 44));
  writeCapture(`${stem}.pcap`, timed([...whole, ...cut, buildPacket(flow4(1))]));
  const brick = new Brick('LoadBalancer', { tunnel: 'inner' }).connectInput(`pcap:${stem}.pcap`);
  const stats = await runGraph(brick.connectOutput('null:', 'null:'));
  assert.equal(stats.bricks[0]?.others.tunnelled, whole.length);
  assert.equal(stats.bricks[0]?.others.inner_truncated, cut.length);
});

test('fragments: a flow of whole and fragmented datagrams stays together, in any order within a batch', async () => {
  const groups = indices(48).map((i) => {
    const flow = (i % 2 === 0 ? flow4 : flow6)(i, 'udp');
    const fragments = buildFragments(flow, 64, 9000 + i, { payload: 400 });
    const back = buildFragments(reverse(flow), 64, 9000 + i, { payload: 300 }).reverse();
    return [buildPacket(flow), ...fragments, buildPacket(reverse(flow)), ...back];
  });
  for (const options of [{ tuple: 4 }, { tuple: 5 }, { tuple: 4, hash: 'toeplitz' }] as const) {
    const chosen = await choose(groups.flat(), 16, { ...options, fragments: 1000 });
    let at = 0;
    groups.forEach((group, i) => {
      const mine = new Set(chosen.slice(at, at + group.length));
      at += group.length;
      assert.equal(mine.size, 1, `${JSON.stringify(options)}: flow ${i} is in outputs ${[...mine]}`);
    });
    const without = await choose(groups.flat(), 16, options);
    assert.notDeepEqual(without, chosen, 'without the option they part');
  }
});

test('fragments: kept ones are counted, and those without their first', async () => {
  const stem = join(folder, 'fragments');
  const flows = indices(20).map((i) => buildFragments(flow4(i, 'udp'), 64, i, { payload: 250 }));
  const orphans = flows.slice(10).flatMap((fragments) => fragments.slice(1));
  writeCapture(`${stem}.pcap`, timed([...flows.slice(0, 10).flat(), ...orphans]));
  const brick = new Brick('LoadBalancer', { fragments: 64 }).connectInput(`pcap:${stem}.pcap`);
  const { bricks } = await runGraph(brick.connectOutput('null:', 'null:'));
  const later = flows.slice(0, 10).reduce((sum, fragments) => sum + fragments.length - 1, 0);
  assert.equal(bricks[0]?.others.fragments_kept, later);
  assert.equal(bricks[0]?.others.fragments_unmatched, orphans.length);
});

// ------------------------------------------------------------------------------------------ flows

test('flows are counted for each output, by the tuple: within 4 standard errors of what was sent', async () => {
  const flows = randomFlows(6000);
  const frames = flows.flatMap((flow) => [
    buildPacket(flow, { payload: 0 }),
    buildPacket(reverse(flow), { payload: 0 }),
  ]);
  const packets = timed(frames);
  const stem = join(folder, 'flows');
  writeCapture(`${stem}.pcap`, packets);
  for (const options of [{ tuple: 4 }, { tuple: 5, hash: 'toeplitz' }, { tuple: 4, tunnel: 'inner', fragments: 64 }]) {
    const names = indices(4).map((i) => `${stem}-${i}.pcap`);
    const brick = new Brick('LoadBalancer', options as BrickArgument)
      .connectInput(`pcap:${stem}.pcap`)
      .connectOutput(...names.map((name) => `pcap:${name}`));
    const { bricks } = await runGraph(brick);
    const got = names.map((name) => readCapture(name).packets);
    assertSameFrames(got.flat(), packets, 'nothing lost');
    got.forEach((list, output) => {
      const truth = list.length / 2;
      const shown = bricks[0]?.outputOthers.flows?.[output] ?? 0;
      assert.ok(Math.abs(shown / truth - 1) < 4 * 0.026, `${JSON.stringify(options)}: ${shown} of ${truth} flows`);
    });
  }
});

const skipTshark = skipWithout('tshark');

test('flows of demo.pcap are those that tshark lists', { skip: skipTshark }, async () => {
  const fields = ['eth.src', 'eth.dst', 'ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'ip.proto', 'ipv6.nxt'];
  const ports = ['tcp.srcport', 'tcp.dstport', 'udp.srcport', 'udp.dstport'];
  const text = run('tshark', [
    '-n',
    '-r',
    demoCapture,
    '-T',
    'fields',
    ...[...fields, ...ports].flatMap((f) => ['-e', f]),
  ]);
  const keys = new Set(
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const [macFrom, macTo, from4, to4, from6, to6, proto4, proto6, tcpFrom, tcpTo, udpFrom, udpTo] =
          line.split('\t');
        const from = [from4 || from6 || macFrom, tcpFrom || udpFrom].join(' ');
        const to = [to4 || to6 || macTo, tcpTo || udpTo].join(' ');
        return [[from, to].sort().join(' '), proto4 || proto6].join(' ');
      }),
  );
  const brick = new Brick('LoadBalancer', 5).connectInput(`pcap:${demoCapture}`).connectOutput('null:', 'null:');
  const { bricks } = await runGraph(brick);
  const shown = (bricks[0]?.outputOthers.flows ?? []).reduce((sum, count) => sum + count, 0);
  // So few that two of them in one register are the only error.
  assert.ok(Math.abs(shown - keys.size) <= 3, `${shown} flows, tshark lists ${keys.size}`);
});
