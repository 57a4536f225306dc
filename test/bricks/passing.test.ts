// Every brick, capture in → captures out: each byte, length and nanosecond is kept, and so is the order.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Brick, bricks } from '../../index.ts';
import { awkward, makeFlow } from '../support/awkward.ts';
import {
  assertSameFrames,
  assertSamePackets,
  assertSubsequence,
  formatCapture,
  type Packet,
  packetText,
  readCapture,
  timed,
  writeCapture,
} from '../support/capture.ts';
import { runGraph } from '../support/engines.ts';
import { corpusCapture, corpusManifest, demoCapture, makeFolder, skipCorpus } from '../support/files.ts';
import { readAnyCapture } from '../support/live_bed.ts';
import { buildPacket } from '../support/packets.ts';
import { run, skipWithout } from '../support/programs.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
let folder = '';
before(() => {
  folder = makeFolder(root);
});

/** Bricks with one output, which thus pass every packet. */
const passing: Readonly<Record<string, (input: string, output: string) => Brick>> = {
  Dummy: (input, output) => new Brick('Dummy').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`),
  Merge: (input, output) => new Brick('Merge').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`),
  Duplicator: (input, output) => new Brick('Duplicator').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`),
  LoadBalancer: (input, output) =>
    new Brick('LoadBalancer').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`),
  Filter: (input, output) => new Brick('Filter').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`),
  PcapReader: (input, output) => new Brick('PcapReader').connectInput(input).connectOutput(`pcap:${output}`),
  PcapWriter: (input, output) => new Brick('PcapWriter').connectInput(`pcap:${input}`).connectOutput(output),
};

/** Bricks with tests of their own: FlowGen changes packets, those of Script are received twice by an engine. */
const testedElsewhere = ['FlowGen', 'Script'];

test('each brick of the registry is tested here, or has its own reason', () => {
  assert.deepEqual(
    [...bricks.keys()].filter((name) => !(name in passing)),
    testedElsewhere,
  );
});

for (const [name, make] of Object.entries(passing)) {
  test(`${name} keeps every byte, length and nanosecond, in order`, async () => {
    const [input, output] = [join(folder, `${name}-in.pcap`), join(folder, `${name}-out.pcap`)];
    const sets: Record<string, readonly Packet[]> = { demo: readCapture(demoCapture).packets, awkward: awkward() };
    for (const [what, packets] of Object.entries(sets)) {
      writeCapture(input, packets);
      for (const batch of [1, 3, -1, 4096]) {
        const stats = await runGraph(make(input, output), {}, batch);
        assert.equal(stats.rxPackets, packets.length);
        assert.equal(
          stats.rxBytes,
          packets.reduce((sum, { wireLength }) => sum + wireLength, 0),
          'bytes on the wire',
        );
        const written = readCapture(output);
        assert.equal(written.isNanosecond, true);
        assert.equal(written.linkType, 1);
        assertSamePackets(written.packets, packets, `${name}, ${what}, batch ${batch}`);
      }
    }
  });
}

test('captures of both byte orders and both resolutions, gzipped or not, are read alike', async () => {
  const micro = timed(Array.from({ length: 50 }, (_, i) => buildPacket(makeFlow(i)))).map((packet) => ({
    ...packet,
    timestampNs: (packet.timestampNs / 1000n) * 1000n,
  }));
  const output = join(folder, 'formats-out.pcap');
  for (const isNanosecond of [false, true]) {
    for (const isBigEndian of [false, true]) {
      for (const isGzipped of [false, true]) {
        const input = join(folder, `formats${isGzipped ? '.pcap.gz' : '.pcap'}`);
        const bytes = formatCapture(micro, { isNanosecond, isBigEndian });
        writeFileSync(input, isGzipped ? gzipSync(bytes) : bytes);
        await runGraph(new Brick('Dummy').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`));
        assertSamePackets(readCapture(output).packets, micro, JSON.stringify({ isNanosecond, isBigEndian, isGzipped }));
      }
    }
  }
});

test('pcapng is read as editcap reads it', { skip: skipWithout('editcap') }, async () => {
  const [input, output] = [join(folder, 'ng.pcapng'), join(folder, 'ng-out.pcap')];
  run('editcap', ['-F', 'pcapng', demoCapture, input]);
  const expected = readCapture(demoCapture).packets;
  for (const file of [input, `${input}.gz`]) {
    if (file.endsWith('.gz')) writeFileSync(file, gzipSync(readFileSync(input)));
    await runGraph(new Brick('Dummy').connectInput(`pcap:${file}`).connectOutput(`pcap:${output}`));
    assertSamePackets(readCapture(output).packets, expected, file);
  }
});

test('corpus: pcapng captures, both byte orders, are read as editcap reads them', {
  skip: skipWithout('editcap') || skipCorpus,
}, async () => {
  const output = join(folder, 'corpus-ng.pcap');
  // One link type, and files that editcap can write as one pcap.
  const files = corpusManifest().filter(
    ({ format, linkTypes, packets }) => /pcapng/.test(format) && linkTypes === '1' && packets > 0 && packets < 2000,
  );
  assert.ok(files.length > 10);
  for (const { path } of files.slice(0, 40)) {
    const file = corpusCapture(path);
    let expected: readonly Packet[];
    try {
      expected = readAnyCapture(file, folder);
    } catch {
      continue;
    }
    await runGraph(new Brick('Dummy').connectInput(`pcap:${file}`).connectOutput(`pcap:${output}`));
    assertSamePackets(readCapture(output).packets, expected, path);
  }
});

test('other link types are kept', { skip: skipCorpus }, async () => {
  const output = join(folder, 'link-type.pcap');
  const files = corpusManifest().filter(
    ({ format, linkTypes, packets }) =>
      format === 'pcap-us' && /^\d+$/.test(linkTypes) && linkTypes !== '1' && packets > 0,
  );
  const types = new Set<string>();
  for (const { path, linkTypes } of files) {
    if (types.has(linkTypes) || path.endsWith('.gz')) continue;
    let expected: ReturnType<typeof readCapture>;
    try {
      expected = readCapture(corpusCapture(path));
    } catch {
      continue;
    }
    types.add(linkTypes);
    await runGraph(new Brick('Dummy').connectInput(`pcap:${corpusCapture(path)}`).connectOutput(`pcap:${output}`));
    const written = readCapture(output);
    assert.equal(written.linkType, expected.linkType, path);
    assertSamePackets(written.packets, expected.packets, path);
  }
  assert.ok(types.size > 20, `${types.size} link types`);
});

// -------------------------------------------------------------------------------------- Duplicator

test('Duplicator: each output is complete and in order', async () => {
  const packets = [...readCapture(demoCapture).packets, ...awkward()];
  const input = join(folder, 'dup-in.pcap');
  writeCapture(input, packets);
  for (const count of [2, 5, 64]) {
    const names = Array.from({ length: count }, (_, i) => join(folder, `dup${i}.pcap`));
    const brick = new Brick('Duplicator')
      .connectInput(`pcap:${input}`)
      .connectOutput(...names.map((name) => `pcap:${name}`));
    const stats = await runGraph(brick);
    assert.equal(stats.copies, packets.length * (count - 1));
    assert.equal(stats.txPackets, packets.length * count);
    for (const name of names) assertSamePackets(readCapture(name).packets, packets, name);
  }
});

// ------------------------------------------------------------------------------------------- Merge

test('Merge: several inputs, each complete and in its own order', async () => {
  const parts = Array.from({ length: 5 }, (_, part) =>
    timed(
      Array.from({ length: 300 + part * 100 }, (_, i) => buildPacket({ ...makeFlow(i), destinationPort: part })),
      1_700_000_000_000_000_000n + BigInt(part) * 77n,
    ),
  );
  const inputs = parts.map((_, part) => join(folder, `merge${part}.pcap`));
  parts.forEach((packets, part) => {
    writeCapture(inputs[part] ?? '', packets);
  });
  const output = join(folder, 'merged.pcap');
  await runGraph(
    new Brick('Merge').connectInput(...inputs.map((name) => `pcap:${name}`)).connectOutput(`pcap:${output}`),
  );
  const merged = readCapture(output).packets;
  assertSameFrames(merged, parts.flat(), 'merged');
  for (const part of parts) assertSubsequence(part, merged, 'each input keeps its order');
});

test('Merge below a LoadBalancer restores the order of arrival', async () => {
  const packets = timed(Array.from({ length: 5000 }, (_, i) => buildPacket(makeFlow(i))));
  const [input, output] = [join(folder, 'order-in.pcap'), join(folder, 'order-out.pcap')];
  writeCapture(input, packets);
  for (const batch of [1, 7, 256, 4096]) {
    const merge = new Brick('Merge').connectInput('a}0', 'a}1', 'a}2', 'a}3').connectOutput(`pcap:${output}`);
    const balancer = new Brick('LoadBalancer').connectInput(`pcap:${input}`).connectOutput('a{0', 'a{1', 'a{2', 'a{3');
    await runGraph(balancer.link(merge), {}, batch);
    assertSamePackets(readCapture(output).packets, packets, `batch ${batch}`);
  }
});

test('Merge below a Duplicator gets every copy, packet by packet', async () => {
  const packets = timed(Array.from({ length: 1000 }, (_, i) => buildPacket(makeFlow(i))));
  const [input, output] = [join(folder, 'copies-in.pcap'), join(folder, 'copies-out.pcap')];
  writeCapture(input, packets);
  const merge = new Brick('Merge').connectInput('d}0', 'd}1', 'd}2').connectOutput(`pcap:${output}`);
  await runGraph(new Brick('Duplicator').connectInput(`pcap:${input}`).connectOutput('d{0', 'd{1', 'd{2').link(merge));
  const expected = packets.flatMap((packet) => [packet, packet, packet]);
  assertSamePackets(readCapture(output).packets, expected, 'in order of arrival');
});

// ------------------------------------------------------------------------------------------ chains

test('Duplicator into LoadBalancer into Merge into PcapWriter, and the other copy beside it', async () => {
  const packets = readCapture(demoCapture).packets;
  const [output, beside] = [join(folder, 'deep.pcap'), join(folder, 'beside.pcap')];
  const writer = new Brick('PcapWriter').connectInput('m}0').connectOutput(output);
  const merge = new Brick('Merge').connectInput('l}0', 'l}1', 'l}2', 'l}3').connectOutput('m{0');
  const balancer = new Brick('LoadBalancer').connectInput('d}0').connectOutputs('l', 4);
  const duplicator = new Brick('Duplicator').connectInput(`pcap:${demoCapture}`).connectOutput('d{0', `pcap:${beside}`);
  await runGraph(duplicator.link(balancer.link(merge.link(writer))));
  assertSamePackets(readCapture(output).packets, packets, 'through the chain');
  assertSamePackets(readCapture(beside).packets, packets, 'beside it');
});

test('a diamond: both copies meet again', async () => {
  const packets = readCapture(demoCapture).packets;
  const output = join(folder, 'diamond.pcap');
  const writer = new Brick('PcapWriter').connectInput('x}0', 'y}0', 'd}2').connectOutput(output);
  const one = new Brick('Dummy').connectInput('d}0').connectOutput('x{0').link(writer);
  const other = new Brick('Merge').connectInput('d}1').connectOutput('y{0').link(writer);
  await runGraph(
    new Brick('Duplicator').connectInput(`pcap:${demoCapture}`).connectOutput('d{0', 'd{1', 'd{2').link(one, other),
  );
  assertSameFrames(
    readCapture(output).packets,
    packets.flatMap((packet) => [packet, packet, packet]),
    'three copies',
  );
});

test('a chain of 100 bricks passes everything', async () => {
  const output = join(folder, 'hundred.pcap');
  let below = new Brick('PcapWriter').connectInput('c}99').connectOutput(output);
  for (let i = 99; i > 0; i--) {
    below = new Brick(i % 2 === 0 ? 'Dummy' : 'LoadBalancer')
      .connectInput(`c}${i - 1}`)
      .connectOutput(`c{${i}`)
      .link(below);
  }
  await runGraph(new Brick('Dummy').connectInput(`pcap:${demoCapture}`).connectOutput('c{0').link(below));
  assertSamePackets(readCapture(output).packets, readCapture(demoCapture).packets, 'chain of 100');
});

for (const count of [256, 1024]) {
  test(`${count} outputs: all are used, nothing is lost`, async () => {
    for (const type of ['LoadBalancer', 'Duplicator', 'PcapReader']) {
      const packets = timed(Array.from({ length: 20000 }, (_, i) => buildPacket({ ...makeFlow(i), sourcePort: i })));
      const input = join(folder, 'many.pcap');
      writeCapture(input, type === 'Duplicator' ? packets.slice(0, 300) : packets);
      const sinks = Array.from({ length: count }, () => 'null:');
      const stats = await runGraph(new Brick(type).connectInput(`pcap:${input}`).connectOutput(...sinks));
      const outputs = stats.bricks[0]?.outputs ?? [];
      assert.equal(outputs.length, count);
      if (type === 'Duplicator') assert.ok(outputs.every((packets) => packets === 300));
      else
        assert.ok(
          outputs.every((packets) => packets > 0),
          `${type}: every output has packets`,
        );
      assert.equal(stats.dropped, 0);
    }
  });
}

// -------------------------------------------------------------------------------------- PcapReader

test('PcapReader: a directory of captures is read file by file, in order of name; other files are counted', async () => {
  const captures = join(folder, 'captures');
  mkdirSync(captures, { recursive: true });
  const parts = [0, 1, 2, 3].map((part) =>
    timed(
      Array.from({ length: 50 }, (_, i) => buildPacket({ ...makeFlow(i), destinationPort: part + 1 })),
      1_600_000_000_000_000_000n + BigInt(part) * 1_000_000_000n,
    ),
  );
  writeCapture(join(captures, 'b.pcap'), parts[1] ?? []);
  writeFileSync(join(captures, 'c.pcap.gz'), gzipSync(formatCapture(parts[2] ?? [], { isBigEndian: true })));
  writeCapture(join(captures, 'a.pcap'), parts[0] ?? []);
  writeFileSync(join(captures, 'README.txt'), 'This is no capture.\n');
  let expected = parts.slice(0, 3).flat();
  if (skipWithout('editcap') === false) {
    writeCapture(join(folder, 'plain.pcap'), parts[3] ?? []);
    run('editcap', ['-F', 'pcapng', join(folder, 'plain.pcap'), join(captures, 'd.pcapng')]);
    expected = parts.flat();
  }
  const output = join(folder, 'directory-out.pcap');
  const stats = await runGraph(new Brick('PcapReader').connectInput(captures).connectOutput(`pcap:${output}`));
  assertSamePackets(readCapture(output).packets, expected, 'directory');
  assert.equal(stats.ports[0]?.others.skipped, 1, 'README.txt is counted as skipped');
  assert.equal(stats.ports[0]?.others.corrupt, 0);
});

test('PcapReader: truncated, corrupt and empty captures give what can be read, and are counted', async () => {
  const packets = timed(Array.from({ length: 20 }, (_, i) => buildPacket(makeFlow(i))));
  const whole = formatCapture(packets);
  const recordBytes = (whole.length - 24) / 20;
  const [input, output] = [join(folder, 'broken.pcap'), join(folder, 'broken-out.pcap')];
  for (const [what, bytes, readable] of [
    ['cut within a packet', whole.subarray(0, whole.length - 5), 19],
    ['cut within a record header', whole.subarray(0, whole.length - recordBytes + 7), 19],
  ] as const) {
    writeFileSync(input, bytes);
    const stats = await runGraph(new Brick('PcapReader').connectInput(input).connectOutput(`pcap:${output}`));
    assertSamePackets(readCapture(output).packets, packets.slice(0, readable), what);
    assert.equal(stats.ports[0]?.others.corrupt, 1, what);
  }
  const absurd = Buffer.from(whole);
  absurd.writeUInt32LE(0x7fffffff, 24 + 10 * recordBytes + 8);
  writeFileSync(input, absurd);
  const stats = await runGraph(new Brick('PcapReader').connectInput(input).connectOutput(`pcap:${output}`));
  assertSubsequence(readCapture(output).packets, packets, 'a record with an absurd length');
  assert.ok(readCapture(output).packets.length >= 10, 'the packets before that place were read');
  assert.equal(stats.ports[0]?.others.corrupt, 1);
  writeFileSync(input, whole.subarray(0, 24));
  const empty = await runGraph(new Brick('PcapReader').connectInput(input).connectOutput(`pcap:${output}`));
  assert.equal(empty.rxPackets, 0, 'a capture without packets is a capture');
});

// ------------------------------------------------------------------------------- corpus and generator

test('corpus: every capture passes through a deep graph, accounted for', { skip: skipCorpus }, async () => {
  const output = join(folder, 'corpus-out.pcap');
  let packets = 0;
  let refused = 0;
  for (const { path } of corpusManifest()) {
    const merge = new Brick('Merge').connectInput('l}0', 'l}1', 'd}1').connectOutput(`pcap:${output}`);
    const balancer = new Brick('LoadBalancer').connectInput('d}0').connectOutput('l{0', 'l{1').link(merge);
    const top = new Brick('Duplicator')
      .connectInput(`pcap:${corpusCapture(path)}`)
      .connectOutput('d{0', 'd{1')
      .link(balancer, merge);
    try {
      const stats = await runGraph(top);
      packets += stats.rxPackets;
      assert.equal(stats.copies, stats.rxPackets, path);
    } catch (error) {
      // A file that is no capture at all is refused in one line that names it.
      assert.ok(error instanceof Error && error.name === 'BricksError', `${path}: ${error}`);
      assert.match(error.message, /^port "[^\n]*$/, path);
      assert.ok(error.message.includes(path), error.message);
      refused++;
    }
  }
  assert.ok(packets > 50_000, `${packets} packets`);
  assert.ok(refused < 20, `${refused} files refused`);
});

test('corpus: packets that an independent reader finds come out unchanged', { skip: skipCorpus }, async () => {
  const output = join(folder, 'corpus-same.pcap');
  let files = 0;
  for (const { path, format, linkTypes } of corpusManifest()) {
    if (!/^pcap-/.test(format) || !/^\d+$/.test(linkTypes)) continue;
    let expected: readonly Packet[];
    try {
      expected = readCapture(corpusCapture(path)).packets;
    } catch {
      continue;
    }
    if (expected.length === 0 || expected.some(({ data }) => data.length > 262144)) continue;
    const stats = await runGraph(
      new Brick('PcapWriter').connectInput(`pcap:${corpusCapture(path)}`).connectOutput(output),
    );
    // Records that no capture can hold (a fraction beyond a second) end the file where they stand, and that is counted.
    if ((stats.ports[0]?.others.corrupt ?? 0) > 0) continue;
    const written = readCapture(output).packets;
    assert.deepEqual(written.map(packetText), expected.map(packetText), path);
    files++;
  }
  assert.ok(files > 1000, `${files} files compared`);
});

const skipTshark = skipWithout('tshark', 'tcpdump');

test('the null: generator makes valid frames: lengths, checksums, number of flows', { skip: skipTshark }, async () => {
  const output = join(folder, 'generated.pcap');
  for (const ip of [4, 6]) {
    for (const frames of [64, 128, 1500]) {
      const input = `null:?packets=600&flows=100&frames=${frames}&ip=${ip}`;
      const stats = await runGraph(new Brick('Dummy').connectInput(input).connectOutput(`pcap:${output}`));
      assert.equal(stats.rxPackets, 600);
      const { packets } = readCapture(output);
      assert.equal(packets.length, 600);
      assert.ok(
        packets.every(({ data, wireLength }) => data.length === frames && wireLength === frames),
        `${frames} bytes`,
      );
      // The payload is filler, whatever the port.
      const check = ['--disable-protocol', 'dns', '-o', 'udp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
      const fields = [
        'ip.checksum.status',
        'udp.checksum.status',
        'udp.stream',
        '_ws.malformed',
        'ip.version',
        'ipv6.version',
      ].flatMap((field) => ['-e', field]);
      const lines = run('tshark', ['-n', ...check, '-r', output, '-T', 'fields', ...fields])
        .trimEnd()
        .split('\n');
      const streams = new Set<string>();
      for (const line of lines) {
        const [ipCheck, udpCheck, stream = '', malformed = ''] = line.split('\t');
        // 1: good; IPv6 has no header checksum.
        assert.equal(ipCheck, ip === 4 ? '1' : '', line);
        // 3: none, which UDP over IPv4 may do (RFC 768) and over IPv6 may not (RFC 8200).
        assert.ok(udpCheck === '1' || (ip === 4 && udpCheck === '3'), `UDP checksum: ${line}`);
        assert.equal(malformed, '', line);
        streams.add(stream);
      }
      assert.equal(streams.size, 100, 'flows');
      const verbose = run('sh', ['-c', `tcpdump -nvvr "${output}" 2>/dev/null`]);
      assert.doesNotMatch(verbose, /bad|truncated|\[\|/i, 'tcpdump -vv finds no fault');
    }
  }
});
