// What goes wrong on a live system: each thing gets one clear line that names it and the remedy, a counter where
// packets are concerned, and no loss elsewhere.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { total } from '../support/accounting.ts';
import { assertSameFrames, assertSubsequence, frameText, type Packet, readCapture } from '../support/capture.ts';
import { type EngineProcess, startEngines } from '../support/engine_process.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import {
  captureOf,
  engineInterface,
  type LiveBed,
  makeFrames,
  makeLiveBed,
  pipeStats,
  readersOf,
  replay,
} from '../support/live_bed.ts';
import { connect, makeNamespace, skipLive } from '../support/netns.ts';
import { projectFolder, skipWithout, start, until } from '../support/programs.ts';
import { pipeProgram, startReader } from '../support/readers.ts';

const skip = skipLive('tcpreplay', 'tcpdump');

/** A report or error is one line that says what and what to do. */
function assertOneLine(text: string, ...words: readonly (string | RegExp)[]): void {
  assert.doesNotMatch(text, /\n/);
  for (const word of words) {
    if (typeof word === 'string') assert.ok(text.includes(word), `${text}: says ${word}`);
    else assert.match(text, word);
  }
}

function place(bed: LiveBed): { namespace: LiveBed['receiver']; runtimeFolder: string } {
  return { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder };
}

async function startOne(
  t: TestContext,
  bed: LiveBed,
  brick: Parameters<typeof startEngines>[2][number]['links'][number]['brick'],
  bufferSlots = 512,
): Promise<EngineProcess> {
  const engines = startEngines(t, place(bed), [{ name: 'e0', bufferSlots, links: [{ brick }] }]);
  assert.equal(await engines.started(), undefined);
  return engines;
}

test('a missing interface', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const brick = { type: 'Dummy', inputs: ['nope0'], outputs: ['null:'] };
  const engines = startEngines(t, place(bed), [{ name: 'e0', links: [{ brick }] }]);
  const error = await engines.started();
  assert.equal(error?.code, 'ENODEV');
  assertOneLine(
    error.error,
    /^port "packet:nope0": cannot open for input: no such interface; have: /,
    engineInterface,
    'lo',
  );
  await engines.quit();
});

test('an interface that vanishes is reported, and the other ports go on', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  connect(bed.sender, 'tx1', bed.receiver, 'in1');
  const output = join(bed.folder, 'out.pcap');
  const engines = await startOne(t, bed, {
    type: 'Merge',
    inputs: [engineInterface, 'in1'],
    outputs: [`pcap:${output}`],
  });
  const [first, second] = [makeFrames(200, 1), makeFrames(200, 2)];
  replay(bed, [captureOf(bed, 'first.pcap', first)]);
  await engines.statsUntil('e0', '200 packets', (stats) => stats.rxPackets === 200);
  bed.receiver.run('ip', 'link', 'del', 'in1');
  // The kernel takes it down first, which may be told as well.
  await until('a report that it is gone', () => engines.reports().some((report) => /gone|vanish|remov/.test(report)));
  for (const report of engines.reports()) assertOneLine(report, '"packet:in1"', /;/);
  replay(bed, [captureOf(bed, 'second.pcap', second)]);
  await engines.statsUntil('e0', '400 packets', (stats) => stats.rxPackets === 400);
  const stats = await engines.stop('e0');
  assert.deepEqual([stats.txPackets, stats.dropped, stats.lost], [400, 0, 0]);
  assertSameFrames(readCapture(output).packets, [...first, ...second], 'before and after');
  assert.ok(engines.reports().length <= 2, 'a line for each event, not one for each look');
  await engines.quit();
});

test('an interface as output that vanishes: its packets are dropped by name, the other output is complete', {
  skip,
}, async (t) => {
  const bed = makeLiveBed(t);
  connect(bed.sender, 'tx1', bed.receiver, 'out1');
  const output = join(bed.folder, 'out.pcap');
  const engines = await startOne(t, bed, {
    type: 'Duplicator',
    inputs: [engineInterface],
    outputs: ['packet:out1', `pcap:${output}`],
  });
  const [first, second] = [makeFrames(100, 1), makeFrames(100, 2)];
  replay(bed, [captureOf(bed, 'first.pcap', first)]);
  await engines.statsUntil('e0', '100 packets', (stats) => stats.rxPackets === 100 && stats.inFlight === 0);
  bed.receiver.run('ip', 'link', 'del', 'out1');
  replay(bed, [captureOf(bed, 'second.pcap', second)]);
  await engines.statsUntil('e0', '200 packets', (stats) => stats.rxPackets === 200 && stats.inFlight === 0);
  const stats = await engines.stop('e0');
  const port = stats.ports.find(({ name, role }) => name === 'out1' && role === 'output');
  assert.equal(port?.txPackets, 100, 'sent while it was there');
  assert.equal(port?.drops.tx_error, 100, 'dropped by name');
  assertSameFrames(readCapture(output).packets, [...first, ...second], 'the other output');
  assertOneLine(engines.reports().join('|'), '"packet:out1"');
  await engines.quit();
});

test('an interface that goes down and comes up again', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const output = join(bed.folder, 'out.pcap');
  const engines = await startOne(t, bed, { type: 'Dummy', inputs: [engineInterface], outputs: [`pcap:${output}`] });
  const [first, second] = [makeFrames(100, 1), makeFrames(100, 2)];
  replay(bed, [captureOf(bed, 'first.pcap', first)]);
  await engines.statsUntil('e0', '100 packets', (stats) => stats.rxPackets === 100);
  bed.receiver.run('ip', 'link', 'set', engineInterface, 'down');
  await until('a report', () => engines.reports().length > 0);
  assertOneLine(engines.reports()[0] ?? '', `"packet:${engineInterface}"`, /down/, /;/);
  bed.receiver.run('ip', 'link', 'set', engineInterface, 'up');
  await until(
    'the link to be up',
    () =>
      bed.sender.run('ip', '-o', 'link', 'show', 'up').includes('LOWER_UP,M-DOWN') ||
      /tx0.*state UP/.test(bed.sender.run('ip', '-o', 'link')),
  );
  replay(bed, [captureOf(bed, 'second.pcap', second)]);
  await engines.statsUntil('e0', '200 packets', (stats) => stats.rxPackets === 200);
  await engines.stop('e0');
  assertSameFrames(readCapture(output).packets, [...first, ...second], 'before and after');
  assert.ok(engines.reports().length <= 2, engines.reports().join('|'));
  await engines.quit();
});

test('no privilege', { skip: skip || skipWithout('setpriv') }, async (t) => {
  const bed = makeLiveBed(t);
  const readable = spawnSync('setpriv', [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    'test',
    '-r',
    join(projectFolder, 'index.ts'),
  ]);
  if (readable.status !== 0) return t.skip('the project folder is not readable to nobody');
  const runtimeFolder = makeFolder(t);
  const as = [
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=-all',
    'env',
    `HOME=${runtimeFolder}`,
  ];
  const brick = { type: 'Dummy', inputs: [engineInterface], outputs: ['null:'] };
  const engines = startEngines(t, { ...place(bed), runtimeFolder, as }, [{ name: 'e0', links: [{ brick }] }]);
  const error = await engines.started();
  assert.ok(error?.code === 'EPERM' || error?.code === 'EACCES', `${error?.code}: ${error?.error}`);
  assertOneLine(error.error, `port "packet:${engineInterface}": cannot open for input: `, /root|sudo|CAP_NET_RAW/, /;/);
  await engines.quit();
});

test('a full disk under a capture output: counted and reported, the other output is complete', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const small = join(bed.folder, 'small');
  mkdirSync(small);
  const packets = makeFrames(500, 1);
  const [input, output] = [captureOf(bed, 'in.pcap', packets), join(bed.folder, 'out.pcap')];
  // `ip netns exec` gives the command mounts of its own.
  const as = ['sh', '-c', `mount -t tmpfs -o size=65536 none ${small} && exec "$@"`, 'sh'];
  const brick = {
    type: 'Duplicator',
    inputs: [`pcap:${input}`],
    outputs: [`pcap:${small}/full.pcap`, `pcap:${output}`],
  };
  const engines = startEngines(t, { ...place(bed), as }, [{ name: 'e0', links: [{ brick }] }]);
  assert.equal(await engines.started(), undefined);
  assert.equal(await engines.wait('e0'), true);
  const stats = await engines.stop('e0');
  assertSameFrames(readCapture(output).packets, packets, 'the other output');
  const full = stats.ports.find(({ name }) => name.endsWith('full.pcap'));
  assert.ok(full !== undefined);
  assert.ok((full.drops.write_error ?? 0) > 400, JSON.stringify(full));
  assert.equal(full.txPackets + (full.drops.write_error ?? 0), 500);
  await until('a report', () => engines.reports().length > 0);
  assert.equal(engines.reports().length, 1, engines.reports().join('|'));
  assertOneLine(engines.reports()[0] ?? '', 'full.pcap', /space|full/i, /;/);
  await engines.quit();
});

/** Interface → Duplicator → two pipes: a large one with a good reader that must get everything, and a small one. What is sent fits
 * the interface's ring and the large one, whoever has the processor. */
async function twoPipes(
  t: TestContext,
): Promise<{ bed: LiveBed; engines: EngineProcess; good: ReturnType<typeof startReader> }> {
  const bed = makeLiveBed(t);
  const engines = await startOne(
    t,
    bed,
    { type: 'Duplicator', inputs: [`packet:${engineInterface}?ring_mb=64`], outputs: ['p{0?slots=4096', 'p{1'] },
    256,
  );
  const good = startReader(t, 'p}0', join(bed.folder, 'good.pcap'), bed.runtimeFolder);
  await engines.statsUntil('e0', 'the good reader', (stats) => readersOf(stats) === 1);
  return { bed, engines, good };
}

test('a stopped reader loses its own packets only, by name, and goes on when continued', { skip }, async (t) => {
  const { bed, engines, good } = await twoPipes(t);
  const slow = startReader(t, 'p}1', join(bed.folder, 'slow.pcap'), bed.runtimeFolder);
  const pid =
    pipeStats(await engines.statsUntil('e0', 'two readers', (stats) => readersOf(stats) === 2), 'p}1').others
      .reader_pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  const [first, second] = [makeFrames(2000, 1), makeFrames(50, 2)];
  replay(bed, [captureOf(bed, 'first.pcap', first)]);
  await engines.statsUntil(
    'e0',
    'the flood',
    (stats) => stats.rxPackets === 2000 && pipeStats(stats, 'p}0').txPackets === 2000,
  );
  process.kill(pid, 'SIGCONT');
  await engines.statsUntil(
    'e0',
    'the slow reader to catch up',
    (stats) => (pipeStats(stats, 'p}1').others.used_bytes ?? 1) === 0,
  );
  replay(bed, [captureOf(bed, 'second.pcap', second)]);
  await engines.statsUntil('e0', 'the rest', (stats) => stats.rxPackets === 2050);
  const stats = await engines.stop('e0');
  assertSameFrames(await good.packets(), [...first, ...second], 'the good reader');
  const lost = pipeStats(stats, 'p}1').drops.pipe_full ?? 0;
  assert.ok(lost > 1000, `${lost} packets found the ring full`);
  const got = await slow.packets();
  assert.equal(got.length, 2050 - lost, 'all that were not dropped');
  assertSubsequence(got, [...first, ...second], 'in order, undamaged', frameText);
  assertSubsequence(second, got, 'all of the packets after it went on', frameText);
  await engines.quit();
});

test('a killed reader is noticed; a late one gets what comes from then on', { skip }, async (t) => {
  const { bed, engines, good } = await twoPipes(t);
  const first = startReader(t, 'p}1', join(bed.folder, 'killed.pcap'), bed.runtimeFolder);
  const pid =
    pipeStats(await engines.statsUntil('e0', 'two readers', (stats) => readersOf(stats) === 2), 'p}1').others
      .reader_pid ?? 0;
  const [one, two, three] = [makeFrames(30, 1), makeFrames(40, 2), makeFrames(50, 3)];
  replay(bed, [captureOf(bed, 'one.pcap', one)]);
  await engines.statsUntil('e0', '30 packets', (stats) => stats.rxPackets === 30);
  process.kill(pid, 'SIGKILL');
  await first.program.ended();
  await engines.statsUntil('e0', 'the reader to be gone', (stats) => readersOf(stats) === 1);
  replay(bed, [captureOf(bed, 'two.pcap', two)]);
  await engines.statsUntil('e0', '70 packets', (stats) => stats.rxPackets === 70);
  const late = startReader(t, 'p}1', join(bed.folder, 'late.pcap'), bed.runtimeFolder);
  await engines.statsUntil('e0', 'the late reader', (stats) => readersOf(stats) === 2);
  replay(bed, [captureOf(bed, 'three.pcap', three)]);
  await engines.statsUntil('e0', '120 packets', (stats) => stats.rxPackets === 120);
  const stats = await engines.stop('e0');
  assertSameFrames(await good.packets(), [...one, ...two, ...three], 'the good reader');
  assertSameFrames(await late.packets(), three, 'the late reader');
  const pipe = pipeStats(stats, 'p}1');
  assert.equal(pipe.drops.no_reader, 40, JSON.stringify(pipe));
  assert.equal(pipe.others.attaches, 2);
  await engines.quit();
});

const hostileSource = `
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "packet_bricks.h"
int main(int argc, char **argv) {
  struct pb_error error;
  struct pb_pipe_reader *reader;
  if (argc < 3 || pb_pipe_open(argv[1], &reader, &error) < 0) return 1;
  char line[512];
  unsigned long from[16], to[16];
  int pages = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (pages < 16 && fgets(line, sizeof line, maps))
    if (strstr(line, "rw-s") && sscanf(line, "%lx-%lx", &from[pages], &to[pages]) == 2) pages++;
  printf("writing garbage into %d mappings\\n", pages);
  fflush(stdout);
  for (uint64_t round = 1;; round++, usleep(500))
    for (int page = 0; page < pages; page++) {
      volatile uint64_t *word = (void *)from[page];
      for (unsigned long i = 0; i < (to[page] - from[page]) / 8; i++)
        word[i] = argv[2][0] == 'o' ? ~0ull : argv[2][0] == 'r' ? (i + round) * 0x9e3779b97f4a7c15ull : word[i] + 3;
    }
}
`;

test('a reader that writes garbage into its index page is detached and counted; nothing else is disturbed', {
  skip: skip || skipWithout('cc'),
}, async (t) => {
  const { bed, engines, good } = await twoPipes(t);
  const source = join(bed.folder, 'hostile.c');
  const program = join(bed.folder, 'hostile');
  writeFileSync(source, hostileSource);
  const compiled = spawnSync(
    'cc',
    [
      '-O1',
      '-o',
      program,
      source,
      `-I${projectFolder}/native/include`,
      `-L${nativeFilesFolder}`,
      '-lbricks-pipe',
      `-Wl,-rpath,${nativeFilesFolder}`,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(compiled.status, 0, compiled.stderr);
  const sent: Packet[] = [];
  let round = 0;
  for (const kind of ['ones', 'random', 'offset']) {
    const hostile = start(t, program, ['p}1', kind], {
      env: { ...process.env, BRICKS_RUNTIME_DIR: bed.runtimeFolder },
    });
    await hostile.until(/writing garbage into [1-9]/);
    const packets = makeFrames(300, ++round);
    replay(bed, [captureOf(bed, `${kind}.pcap`, packets)]);
    sent.push(...packets);
    const what = `${kind}: to be detached and counted`;
    await engines.statsUntil(
      'e0',
      what,
      (stats) => stats.rxPackets === sent.length && (pipeStats(stats, 'p}1').others.reader_faults ?? 0) === round,
    );
    hostile.child.kill('SIGKILL');
    await hostile.ended();
  }
  const after = startReader(t, 'p}1', join(bed.folder, 'after.pcap'), bed.runtimeFolder);
  await engines.statsUntil('e0', 'an honest reader', (stats) => readersOf(stats) === 2);
  const last = makeFrames(20, 99);
  replay(bed, [captureOf(bed, 'last.pcap', last)]);
  await engines.statsUntil('e0', 'the last packets', (stats) => stats.rxPackets === sent.length + 20);
  await engines.stop('e0');
  assertSameFrames(await good.packets(), [...sent, ...last], 'the good reader');
  assertSameFrames(await after.packets(), last, 'the honest reader after it');
  for (const report of engines.reports()) assertOneLine(report, 'p}1', /;/);
  assert.ok(engines.reports().length >= 1, 'it is reported');
  await engines.quit();
});

function sockets(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sockets(path) : entry.isSocket() ? [path] : [];
  });
}

test('garbage, silence and half a message at the attach socket disturb nobody', { skip }, async (t) => {
  const { bed, engines, good } = await twoPipes(t);
  const found = sockets(bed.runtimeFolder);
  assert.ok(found.length > 0, `attach sockets below ${bed.runtimeFolder}`);
  for (const path of found) {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('GET / HTTP/1.0\r\n\r\n'),
      Buffer.alloc(70000, 255),
      Buffer.from([1]),
    ]) {
      const socket = createConnection(path).on('error', () => undefined);
      t.after(() => socket.destroy());
      socket.write(bytes);
    }
  }
  const other = startReader(t, 'p}1', join(bed.folder, 'other.pcap'), bed.runtimeFolder);
  await engines.statsUntil('e0', 'an honest reader to attach beside them', (stats) => readersOf(stats) === 2);
  const packets = makeFrames(100, 1);
  replay(bed, [captureOf(bed, 'in.pcap', packets)]);
  await engines.statsUntil('e0', '100 packets', (stats) => stats.rxPackets === 100);
  await engines.stop('e0');
  assertSameFrames(await good.packets(), packets, 'one reader');
  assertSameFrames(await other.packets(), packets, 'the other');
  await engines.quit();
});

test("a second process's pipe of the same name is refused; the first goes on", { skip }, async (t) => {
  const { bed, engines, good } = await twoPipes(t);
  const brick = { type: 'Dummy', inputs: ['null:?packets=10'], outputs: ['p{0'] };
  const second = startEngines(t, place(bed), [{ name: 'other', links: [{ brick }] }]);
  const error = await second.started();
  assert.ok(error !== undefined, 'the second one is refused');
  assertOneLine(error.error, 'p}0', /;/, /process|serve|engine/);
  await second.quit();
  const packets = makeFrames(50, 1);
  replay(bed, [captureOf(bed, 'in.pcap', packets)]);
  await engines.statsUntil('e0', '50 packets', (stats) => stats.rxPackets === 50);
  await engines.stop('e0');
  assertSameFrames(await good.packets(), packets, 'the first');
  await engines.quit();
});

test('the pipe of a process that was killed can be served again', { skip }, async (t) => {
  const { bed, engines } = await twoPipes(t);
  engines.program.child.kill('SIGKILL');
  await engines.program.ended();
  const output = join(bed.folder, 'again.pcap');
  const brick = { type: 'Dummy', inputs: [`pcap:${demoCapture}`], outputs: ['p{0?wait=1'] };
  const second = startEngines(t, place(bed), [{ name: 'again', links: [{ brick }] }]);
  assert.equal(await second.started(), undefined);
  const reader = startReader(t, 'p}0', output, bed.runtimeFolder);
  assert.equal(await second.wait('again'), true);
  await second.stop('again');
  assertSameFrames(await reader.packets(), readCapture(demoCapture).packets, 'served again');
  await second.quit();
});

test('bricks-pipe: a pipe that nobody serves, a second reader, both orders of start', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const env = { ...process.env, BRICKS_RUNTIME_DIR: bed.runtimeFolder };
  const nobody = start(t, pipeProgram, ['nobody}0'], { env });
  assert.equal((await nobody.ended()).code, 1);
  assertOneLine(nobody.output().trimEnd(), 'nobody}0', /;/);
  const early = start(
    t,
    'sh',
    ['-c', '"$0" -q --wait "$1" >"$2"', pipeProgram, 'p}0', join(bed.folder, 'early.pcap')],
    { env },
  );
  const brick = { type: 'Dummy', inputs: [`pcap:${demoCapture}`], outputs: ['p{0?wait=1'] };
  const engines = startEngines(t, place(bed), [{ name: 'e0', links: [{ brick }] }]);
  assert.equal(await engines.started(), undefined);
  assert.equal(await engines.wait('e0'), true);
  const second = start(t, pipeProgram, ['p}0'], { env });
  assert.equal((await second.ended()).code, 1);
  await engines.stop('e0');
  assert.deepEqual(await early.ended(), { code: 0, signal: null }, early.output());
  const expected = readCapture(demoCapture).packets;
  const got = readCapture(join(bed.folder, 'early.pcap'));
  assert.deepEqual(
    got.packets.map(({ timestampNs }) => timestampNs),
    expected.map(({ timestampNs }) => timestampNs),
    'each nanosecond',
  );
  assertSameFrames(got.packets, expected, 'through the pipe');
  await engines.quit();
  assertOneLine(second.output().trimEnd(), 'p}0', /reads|reader/, /;/);
});

test('engines of one process: stopping one loses nothing of another', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const makeNs = makeNamespace(t, 'spare');
  connect(makeNs, 'tx1', bed.receiver, 'in1');
  const output = join(bed.folder, 'kept.pcap');
  // Its ring holds what comes in half a second, which is all.
  const input = `packet:${engineInterface}?ring_mb=64`;
  const engines = startEngines(t, place(bed), [
    { name: 'kept', links: [{ brick: { type: 'Dummy', inputs: [input], outputs: [`pcap:${output}`] } }] },
    { name: 'restless', links: [{ brick: { type: 'Dummy', inputs: ['in1'], outputs: ['r{0'] } }] },
  ]);
  assert.equal(await engines.started(), undefined);
  const packets = makeFrames(1500, 1);
  const file = captureOf(bed, 'in.pcap', packets);
  const { command, args } = bed.sender.inside('tcpreplay', '-q', '--timer=nano', '--pps=3000', '-i', 'tx0', file);
  const sender = start(t, command, args);
  for (let i = 0; i < 10; i++) {
    await engines.stop('restless');
    assert.equal(await engines.tell('start', 'restless'), undefined);
  }
  assert.equal((await sender.ended()).code, 0);
  await engines.statsUntil('kept', '1500 packets', (stats) => stats.rxPackets === 1500);
  const stats = await engines.stop('kept');
  assert.equal(total(stats.drops) + stats.lost, 0);
  assertSameFrames(readCapture(output).packets, packets, dirname(output));
  await engines.stop('restless');
  await engines.quit();
});
