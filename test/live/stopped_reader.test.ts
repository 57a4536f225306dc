// A reader that is stopped for a minute: the pipe beside it goes on unharmed, its own loses by name what did not fit,
// and when it is continued nothing of what it reads is corrupt.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertSameFrames, assertSubsequence, frameText } from '../support/capture.ts';
import { startEngines } from '../support/engine_process.ts';
import {
  captureOf,
  engineInterface,
  makeFrames,
  makeLiveBed,
  pipeStats,
  readersOf,
  replay,
} from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { startReader } from '../support/readers.ts';

const skip = skipLive('tcpreplay', 'tcpdump');
const stoppedMs = 60_000;
const packetsPerSecond = 100;

test('a reader that was stopped for a minute goes on; the other pipe is complete', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const brick = { type: 'Duplicator', inputs: [engineInterface], outputs: ['p{0', 'p{1'] };
  const place = { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder };
  const engines = startEngines(t, place, [{ name: 'e0', links: [{ brick }] }]);
  assert.equal(await engines.started(), undefined);
  const good = startReader(t, 'p}0', join(bed.folder, 'good.pcap'), bed.runtimeFolder);
  const stopped = startReader(t, 'p}1', join(bed.folder, 'stopped.pcap'), bed.runtimeFolder);
  const attached = await engines.statsUntil('e0', 'two readers', (stats) => readersOf(stats) === 2);
  const pid = pipeStats(attached, 'p}1').others.reader_pid ?? 0;
  assert.ok(pid > 0);
  const frames = makeFrames(200, 1);
  replay(bed, [captureOf(bed, 'before.pcap', frames)]);

  process.kill(pid, 'SIGSTOP');
  const end = performance.now() + stoppedMs;
  for (let port = 2; performance.now() < end; port++) {
    const more = makeFrames(5 * packetsPerSecond, port);
    replay(bed, [captureOf(bed, 'meanwhile.pcap', more)], packetsPerSecond);
    frames.push(...more);
    await engines.statsUntil('e0', `${frames.length} packets in the pipe beside`, (stats) => {
      const { txPackets, others } = pipeStats(stats, 'p}0');
      return txPackets === frames.length && others.used_bytes === 0;
    });
  }
  process.kill(pid, 'SIGCONT');
  await engines.statsUntil(
    'e0',
    'the stopped reader to catch up',
    (stats) => (pipeStats(stats, 'p}1').others.used_bytes ?? 1) === 0,
  );
  const last = makeFrames(200, 1000);
  replay(bed, [captureOf(bed, 'after.pcap', last)]);
  frames.push(...last);
  await engines.statsUntil('e0', 'the rest', (stats) => stats.rxPackets === frames.length);

  const stats = await engines.stop('e0');
  assertSameFrames(await good.packets(), frames, 'the reader beside');
  const lost = pipeStats(stats, 'p}1').drops.pipe_full ?? 0;
  const got = await stopped.packets();
  assert.ok(lost > 1000, `${lost} packets found the ring full`);
  assert.equal(got.length, frames.length - lost, 'all that were not dropped');
  assert.match(stopped.program.output(), new RegExp(`p\\}1: ${got.length} packets, ${lost} dropped\n`));
  assertSubsequence(got, frames, 'in order, undamaged', frameText);
  assertSubsequence(last, got, 'all that came after it went on', frameText);
  assert.deepEqual(engines.reports(), []);
  await engines.quit();
});
