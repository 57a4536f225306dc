// bricks-load-balance and bricks-duplicate: one command, an interface, N applications that get what they should.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Snapshot } from '../../shell/protocol/messages.ts';
import { assertAccounting } from '../support/accounting.ts';
import { assertSameFrames, type Packet } from '../support/capture.ts';
import { isRunning, Runtime } from '../support/daemon.ts';
import { demoCapture } from '../support/files.ts';
import { engineInterface, makeLiveBed, readAnyCapture, readersOf, replay } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { until } from '../support/programs.ts';
import { startReader } from '../support/readers.ts';

const skip = skipLive('tcpreplay', 'tcpdump', 'editcap');
const count = 3;

/** What each of three readers gets of the demo capture, which a sender replays. */
async function runFrontEnd(
  t: TestContext,
  program: string,
): Promise<{ sent: readonly Packet[]; got: (readonly Packet[])[] }> {
  const bed = makeLiveBed(t, 9000);
  const sent = readAnyCapture(demoCapture, bed.folder);
  const runtime = new Runtime(t, bed.receiver);
  const done = runtime.run(program, [engineInterface, String(count)]);
  assert.deepEqual([done.status, done.stderr], [0, '']);
  const commands = done.stdout.split('\n').filter((line) => line.includes('bricks-pipe'));
  assert.deepEqual(
    commands.map((line) => line.trim()),
    Array.from({ length: count }, (_, i) => `bricks-pipe '${engineInterface}}${i}' | tcpdump -nr -`),
    'what the user is told',
  );
  const client = await runtime.client(t);
  const stats = async (): Promise<Snapshot['engines'][number]['stats']> => {
    const { engines } = (await client.request('stats')).snapshot as unknown as Snapshot;
    assert.equal(engines.length, 1);
    return engines[0]?.stats ?? assert.fail();
  };
  const readers = Array.from({ length: count }, (_, i) =>
    startReader(t, `${engineInterface}}${i}`, join(bed.folder, `${i}.pcap`), runtime.folder),
  );
  await until('the readers', async () => readersOf(await stats()) === count);
  replay(bed, [demoCapture]);
  await until('the packets', async () => (await stats()).rxPackets === sent.length && (await stats()).inFlight === 0);
  const pid = runtime.pid();
  const last = await stats();
  assertAccounting(last);
  assert.deepEqual([last.dropped, last.lost], [0, 0]);
  assert.equal(runtime.run('bricks_kill_server').status, 0);
  assert.ok(!isRunning(pid));
  return { sent, got: await Promise.all(readers.map((reader) => reader.packets())) };
}

test('bricks-load-balance: together the readers get everything, each of them a part', { skip }, async (t) => {
  const { sent, got } = await runFrontEnd(t, 'bricks_load_balance');
  assertSameFrames(got.flat(), sent, 'all readers');
  for (const [i, packets] of got.entries()) assert.ok(packets.length > 0, `reader ${i} has its share`);
});

test('bricks-duplicate: each reader gets everything', { skip }, async (t) => {
  const { sent, got } = await runFrontEnd(t, 'bricks_duplicate');
  for (const [i, packets] of got.entries()) assertSameFrames(packets, sent, `reader ${i}`);
});

test('what they cannot do is said at once, and no daemon stays', { skip }, (t) => {
  const runtime = new Runtime(t, makeLiveBed(t).receiver);
  const cases: [args: readonly string[], status: number, stderr: RegExp][] = [
    [[], 2, /^bricks-load-balance: IFACE is missing; try bricks-load-balance --help\n$/],
    [[engineInterface], 2, /^bricks-load-balance: N is missing; try/],
    [[engineInterface, '0'], 2, /^bricks-load-balance: N: "0" is not a number of applications; try/],
    [[engineInterface, 'two'], 2, /^bricks-load-balance: N: "two" is not a number of applications; try/],
    [[engineInterface, '2', '3'], 2, /^bricks-load-balance: unexpected argument '3'; try/],
    [['nope0', '2'], 1, /port "packet:nope0": cannot open for input: no such interface; have: [^\n]*in0/],
    [[engineInterface, '100000'], 1, /100000/],
  ];
  for (const [args, status, stderr] of cases) {
    const done = runtime.run('bricks_load_balance', args);
    assert.deepEqual([done.status, done.stdout], [status, ''], `${args.join(' ')}: ${done.stderr}`);
    assert.match(done.stderr, stderr);
    // What is left of an engine that could not be started is the folder of pipes.
    const left = runtime.files().filter((name) => name !== 'bricks-server.log' && name !== 'pipes');
    assert.deepEqual(left, [], args.join(' '));
  }
});
