// The stand-in for netmap as tests use it: preloaded into separate programs. test_netmap_stand_in.c has its semantics.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertSameFrames, type Packet, readCapture, writeCapture } from '../support/capture.ts';
import { makeFolder } from '../support/files.ts';
import { captureOf, makeFrames, makeLiveBed } from '../support/live_bed.ts';
import { assertNoViolations, makeNetmapStandIn, type NetmapStandIn } from '../support/netmap.ts';
import { skipLive } from '../support/netns.ts';
import { start } from '../support/programs.ts';

const ready = /netmap_app: ready/;

/** The names of a capture to send and of one to receive. */
function makeFiles(t: TestContext, packets: readonly Packet[]): { sent: string; received: string } {
  const folder = makeFolder(t);
  const sent = join(folder, 'sent.pcap');
  writeCapture(sent, packets);
  return { sent, received: join(folder, 'received.pcap') };
}

async function send(standIn: NetmapStandIn, port: string, file: string): Promise<void> {
  const program = standIn.app(['tx', port, file]);
  assert.equal((await program.ended()).code, 0, program.output());
}

test('two programs at the ends of a pipe', async (t) => {
  const standIn = makeNetmapStandIn(t, { slots: 32 });
  const packets = makeFrames(2000, 1);
  const { sent, received } = makeFiles(t, packets);
  const reader = standIn.app(['rx', 'eth3}0', received, '2000']);
  await reader.until(ready);
  await send(standIn, 'eth3{0', sent);
  assert.equal((await reader.ended()).code, 0, reader.output());
  assertSameFrames(readCapture(received).packets, packets, 'pipe');
  assertNoViolations(standIn);
});

test('an inline application exchanges buffers; another takes up where it was killed', async (t) => {
  const standIn = makeNetmapStandIn(t);
  const packets = makeFrames(1500, 1);
  const { sent, received } = makeFiles(t, packets);
  const reader = standIn.app(['rx', 'eth3}1', received, '1500']);
  const killed = standIn.app(['forward', 'eth3}0', 'eth3{1']);
  await reader.until(ready);
  await killed.until(ready);
  killed.child.kill('SIGSTOP');
  const sender = standIn.app(['tx', 'eth3{0', sent]);
  await sender.until(ready);
  killed.child.kill('SIGKILL');
  await killed.exited;
  const inline = standIn.app(['forward', 'eth3}0', 'eth3{1']);
  assert.equal((await sender.ended()).code, 0, sender.output());
  assert.equal((await reader.ended()).code, 0, reader.output());
  assert.equal((await inline.interrupt()).code, 0, inline.output());
  assertSameFrames(readCapture(received).packets, packets, 'inline');
  assertNoViolations(standIn);
});

test('an interface of a namespace is a NIC, the other side of its link the wire', {
  skip: skipLive('tcpreplay', 'tcpdump'),
}, async (t) => {
  const standIn = makeNetmapStandIn(t, { rings: 4 });
  const bed = makeLiveBed(t);
  const packets = makeFrames(500, 1);
  const file = captureOf(bed, 'wire.pcap', packets);
  const [received, seen] = [join(bed.folder, 'received.pcap'), join(bed.folder, 'seen.pcap')];
  const reader = standIn.app(['rx', 'in0', received, '500'], bed.receiver.inside);
  await reader.until(ready);
  bed.sender.run('tcpreplay', '-q', '--timer=nano', '--pps=5000', '-i', 'tx0', file);
  assert.equal((await reader.ended()).code, 0, reader.output());
  assertSameFrames(readCapture(received).packets, packets, 'from the wire');

  const wire = bed.sender.inside('tcpdump', '-U', '-ni', 'tx0', '-Q', 'in', '-w', seen, '-c', '500', 'udp');
  const dump = start(t, wire.command, wire.args);
  await dump.until(/listening on/);
  const writer = standIn.app(['tx', 'in0', file], bed.receiver.inside);
  assert.equal((await writer.ended()).code, 0, writer.output());
  await dump.ended();
  assertSameFrames(readCapture(seen).packets, packets, 'to the wire');
  assertNoViolations(standIn);
});

test('without a folder every call is the system’s own', { skip: existsSync('/dev/netmap') && 'has netmap' }, (t) => {
  const standIn = makeNetmapStandIn(t);
  const env = { ...process.env, ...standIn.env, NETMAP_STAND_IN: '' };
  const probe = spawnSync(standIn.appPath, ['probe'], { env, encoding: 'utf8' });
  assert.equal(probe.status, 1);
  assert.match(probe.stderr, /open \/dev\/netmap: No such file or directory/);
});

test('node runs with it preloaded, children too', (t) => {
  const standIn = makeNetmapStandIn(t);
  const script = `
    const { execFileSync } = require('node:child_process');
    process.stdout.write(execFileSync('echo', ['from a child']));
    execFileSync(process.argv[1], ['probe']);
    setTimeout(() => console.log('from a timer'), 1);`;
  const node = spawnSync(process.execPath, ['-e', script, standIn.appPath], {
    env: { ...process.env, ...standIn.env },
    encoding: 'utf8',
  });
  assert.equal(node.stdout, 'from a child\nfrom a timer\n', node.stderr);
  assertNoViolations(standIn);
});
