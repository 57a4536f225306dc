// The examples of native/examples: they compile without a warning, as C and as C++, and do what they say.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertSamePackets, readCapture, timed, writeCapture } from '../support/capture.ts';
import { buildExample } from '../support/examples.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { buildFragments, buildPacket, type Flow, reverse } from '../support/packets.ts';
import { startPassing, usePipeFolder } from '../support/pipes.ts';
import { projectFolder, run, skipWithout, start, until } from '../support/programs.ts';

usePipeFolder();
const folder = join(projectFolder, 'native/examples');
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.c'))
  .map((name) => name.slice(0, -2));

test('every example is 30 lines at most, and compiles as C and as C++', { skip: skipWithout('cc', 'c++') }, (t) => {
  assert.deepEqual(names.sort(), ['inline', 'reader']);
  for (const name of names) {
    const lines = readFileSync(join(folder, `${name}.c`), 'utf8')
      .trimEnd()
      .split('\n');
    assert.ok(lines.length <= 30, `${name}: ${lines.length}`);
    for (const compiler of [
      ['cc', '-std=c11'],
      ['c++', '-std=c++17', '-x', 'c++'],
    ])
      buildExample(name, makeFolder(t), compiler);
  }
});

test('without names, and without an engine, they say what to do', (t) => {
  for (const [name, pipes] of [
    ['reader', ['none}0']],
    ['inline', ['none}0', 'none}1']],
  ] as const) {
    const program = buildExample(name, makeFolder(t));
    const said = (...args: string[]): string =>
      run('sh', ['-c', '"$@" 2>&1 && exit 1 || exit 0', 'sh', program, ...args]);
    assert.match(said(), /^\w+: give the names? of .* like eth3\}0.*\n$/);
    assert.match(said(...pipes), /^\w+: pipe "none\}0": no engine serves it .*\n$/);
  }
});

test('reader counts what a pipe carries, each second and in all', async (t) => {
  const { packets } = readCapture(demoCapture);
  const engine = startPassing(t, `pcap:${demoCapture}`, 'counted{0?wait=1');
  const program = start(t, buildExample('reader', makeFolder(t)), ['counted}0']);
  const [, packetsPerS, bytesPerS] = await program.until(/([1-9]\d*) packets\/s (\d+) bytes\/s\n/);
  assert.ok(Number(packetsPerS) <= packets.length && Number(bytesPerS) > 14 * Number(packetsPerS), program.output());
  engine.stop();
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  const bytes = packets.reduce((sum, { wireLength }) => sum + wireLength, 0);
  assert.equal(program.output().trimEnd().split('\n').at(-1), `${packets.length} packets ${bytes} bytes`);
});

const dns: Flow = {
  protocol: 'udp',
  source: '10.1.2.3',
  destination: '192.0.2.9',
  sourcePort: 40001,
  destinationPort: 53,
};
const dns6: Flow = { ...dns, source: 'fd00::1', destination: 'fd00::2' };

test('inline sends on all but DNS over UDP, and says how many it declined', {
  skip: skipWithout('tcpdump'),
}, async (t) => {
  const work = makeFolder(t);
  const [sent, expected, got] = ['sent', 'expected', 'got'].map((name) => join(work, `${name}.pcap`)) as [
    string,
    string,
    string,
  ];
  const built = [
    buildPacket(dns),
    buildPacket(reverse(dns)),
    buildPacket({ ...dns, protocol: 'tcp' }),
    buildPacket({ ...dns, destinationPort: 5353 }),
    buildPacket({ ...dns, destinationPort: 53 << 8 }),
    buildPacket(dns6),
    ...buildFragments(dns, 2000, 1),
    Buffer.alloc(41, 17),
  ];
  const packets = [...readCapture(demoCapture).packets, ...timed(built)];
  writeCapture(sent, packets);
  run('tcpdump', ['--nano', '-r', sent, '-w', expected, 'not (ip and udp port 53)']);
  const kept = readCapture(expected).packets;
  assert.ok(kept.length < packets.length && kept.length > built.length, 'some are DNS, most are not');

  const source = startPassing(t, `pcap:${sent}`, 'query{0?wait=1');
  const sink = startPassing(t, 'answer}0', `pcap:${got}`);
  const program = start(t, buildExample('inline', work), ['query}0', 'answer}0']);
  await until('all but DNS', () => sink.stats().rxPackets === kept.length);
  assert.equal(await source.wait(30), true);
  source.stop();
  assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.output());
  const declined = () => sink.stats().ports[0]?.others.declined;
  await until('its count', () => declined() === packets.length - kept.length);
  sink.stop();
  assertSamePackets(readCapture(got).packets, kept, 'behind the application');
});
