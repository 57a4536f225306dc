// Gzipped captures, again and again: the decompressor must not disturb the process it runs in.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Brick } from '../../index.ts';
import { assertSamePackets, readCapture } from '../support/capture.ts';
import { runGraph } from '../support/engines.ts';
import { demoCapture, makeFolder } from '../support/files.ts';

test('500 gzipped captures in one process, beside the decompression of Node itself', async (t) => {
  const folder = makeFolder(t);
  const [input, output] = [join(folder, 'demo.pcap.gz'), join(folder, 'out.pcap')];
  writeFileSync(input, gzipSync(readFileSync(demoCapture)));
  const expected = readCapture(demoCapture).packets;
  for (let i = 0; i < 500; i++) {
    await runGraph(new Brick('Dummy').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`));
    if (i % 50 === 0) assertSamePackets(readCapture(output).packets, readCapture(input).packets, `run ${i}`);
  }
  assertSamePackets(readCapture(output).packets, expected, 'the last run');
});

test('a gzipped capture of several members, and one cut short', async (t) => {
  const folder = makeFolder(t);
  const [input, output] = [join(folder, 'x.pcap.gz'), join(folder, 'out.pcap')];
  const bytes = readFileSync(demoCapture);
  const expected = readCapture(demoCapture).packets;
  writeFileSync(
    input,
    Buffer.concat([
      gzipSync(bytes.subarray(0, 30)),
      gzipSync(bytes.subarray(30, 5000)),
      gzipSync(bytes.subarray(5000)),
    ]),
  );
  await runGraph(new Brick('Dummy').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`));
  assertSamePackets(readCapture(output).packets, expected, 'members');
  const whole = gzipSync(bytes);
  writeFileSync(input, whole.subarray(0, whole.length >> 1));
  const stats = await runGraph(new Brick('Dummy').connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`));
  assert.equal(stats.ports[0]?.others.corrupt, 1, 'the cut is counted');
  const written = readCapture(output).packets;
  assert.ok(written.length > 10 && written.length < expected.length);
  assertSamePackets(written, expected.slice(0, written.length), 'what stood before the cut');
});
