// What the daemon writes, and what takes its time: the status file at any moment, the log and its reopening, and how
// long it waits for scripts and for clients that say nothing. The slow ones wait side by side.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { mock, type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { version } from '../../package_info.ts';
import type { Log } from '../../shell/daemon/log.ts';
import { StatusFile } from '../../shell/daemon/status_file.ts';
import type { Snapshot } from '../../shell/protocol/messages.ts';
import { assertAccounting } from '../support/accounting.ts';
import { engineStats, parseLog, Runtime } from '../support/daemon.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { until } from '../support/programs.ts';

interface Status {
  readonly pid: number;
  readonly version: string;
  readonly started: string;
  readonly written: string;
  readonly clients: number;
  readonly engines: readonly unknown[];
}

/** Reads a file over and over on a thread of its own; what is no JSON, or not whole, is an error. */
const readerSource = `
  const { readFileSync } = require('node:fs');
  const { parentPort, workerData } = require('node:worker_threads');
  const seen = new Set();
  let isOver = false;
  parentPort.on('message', () => { isOver = true; });
  function look() {
    for (let i = 0; i < 20; i++) {
      const status = JSON.parse(readFileSync(workerData, 'utf8'));
      if (status.engines.length !== 50) throw new Error('not whole');
      seen.add(status.pid);
    }
    if (isOver) { parentPort.postMessage(seen.size); parentPort.close(); } else setImmediate(look);
  }
  look();`;

test('the status file is whole at every moment while it is written anew', async (t) => {
  const file = join(makeFolder(t), 'status.json');
  let pid = 0;
  const engine = { stats: { engine: 'x'.repeat(2000), drops: {} } };
  const snapshot = (): Snapshot =>
    ({
      pid: ++pid,
      version: '1',
      startedMs: 0,
      timeMs: pid,
      clients: 0,
      engines: Array(50).fill(engine),
    }) as unknown as Snapshot;
  const timers = mock.timers;
  timers.enable({ apis: ['setInterval'] });
  t.after(() => timers.reset());
  const log = { write: (_level: string, text: string) => assert.fail(text) } as unknown as Log;
  const status = new StatusFile(file, snapshot, log);
  const reader = new Worker(readerSource, { eval: true, workerData: file });
  t.after(() => reader.terminate());
  const seen = new Promise<number>((resolve, reject) => reader.on('message', resolve).on('error', reject));
  await new Promise((resolve) => reader.on('online', resolve));
  for (let i = 0; i < 500; i++) {
    timers.tick(5000);
    await new Promise(setImmediate);
  }
  reader.postMessage('over');
  assert.ok((await seen) > 20, 'it was read between many writings');
  assert.equal((JSON.parse(readFileSync(file, 'utf8')) as Status).pid, 501, 'every 5 seconds');
  status.close();
  assert.ok(!existsSync(file));
});

function statusOf(runtime: Runtime): Status {
  return JSON.parse(readFileSync(join(runtime.folder, 'status.json'), 'utf8')) as Status;
}

/** The status file of a running daemon is written again, and says what the engines have done. */
async function statusTest(t: TestContext): Promise<void> {
  const runtime = new Runtime(t);
  const script = `
    pe = PktEngine.new("e0")
    pe:link(Brick.new("LoadBalancer", 2):connect_input("pcap:${demoCapture}"):connect_output("null:", "s{0"))
    pe:start() pe:wait()`;
  const server = await runtime.foreground(['-f', runtime.script(script)]);
  const client = await runtime.client(t);
  const first = statusOf(runtime);
  const second = await until('another status', () => {
    const status = statusOf(runtime);
    return status.written !== first.written && status;
  });
  assert.deepEqual([second.pid, second.version, second.started], [runtime.pid(), version, first.started]);
  assert.equal(second.clients, 1);
  assert.ok(Date.parse(second.written) > Date.parse(second.started));
  const [stats] = engineStats(second.engines);
  assert.ok(stats !== undefined);
  assertAccounting(stats);
  assert.deepEqual([stats.engine, stats.rxPackets], ['e0', 458]);
  assert.match(JSON.stringify(second), /"rx_packets":458,"rx_bytes":/, 'names as in Lua');
  const told = (await client.request('stats')).snapshot as unknown as Snapshot;
  assert.deepEqual(stats, told.engines[0]?.stats, 'the same counters as a client is told');
  server.child.kill('SIGTERM');
  await server.ended();
}

/** A script that stays does not keep the starting command waiting. */
async function longScriptTest(t: TestContext): Promise<void> {
  const runtime = new Runtime(t);
  const file = runtime.script('print("on its way") while not go do BRICKS.sleep(0.01) end error("late")');
  const command = runtime.spawn('bricks_server', ['-f', file]);
  assert.deepEqual(await command.ended(), { code: 0, signal: null });
  const note = `bricks-server: ${file} still runs after 10 s; the daemon stays, the log says how it ends\n`;
  assert.equal(command.output(), `on its way\n${note}`);
  const client = await runtime.client(t);
  await client.evaluate('go = true');
  await until('its end', () => runtime.logText().includes('the startup script failed'));
  assert.equal(await client.value('1 + 1'), '2', 'the daemon stays for its users');
}

/** A client that begins and does not go on is dismissed; it never had anything. */
async function silenceTest(t: TestContext): Promise<void> {
  const runtime = new Runtime(t);
  const server = await runtime.foreground();
  const silent = runtime.silentClient(t);
  const half = await runtime.client(t);
  half.sendBytes(Buffer.from([0, 0, 1]));
  const patient = await runtime.client(t);
  assert.equal(await silent.dismissed(), 'no "hello" within 5 s');
  assert.equal(await half.dismissed(), 'half a frame, and not the rest within 10 s');
  assert.equal(
    await patient.value('"one that waits between its requests stays"'),
    'one that waits between its requests stays',
  );
  server.child.kill('SIGTERM');
  await server.ended();
}

test('what takes its time', { concurrency: true }, async (t) => {
  await Promise.all([
    t.test('the status file of a running daemon', statusTest),
    t.test('a startup script that stays', longScriptTest),
    t.test('silence, and half a frame', silenceTest),
  ]);
});

test('the log: JSON lines with time and process id; SIGHUP opens it anew after it was moved away', async (t) => {
  const runtime = new Runtime(t);
  const file = join(runtime.folder, 'bricks-server.log');
  const pid = runtime.startDaemon(['-f', runtime.script('print("first")')]);
  for (const line of runtime.log()) {
    assert.equal(line.pid, pid);
    assert.ok(Math.abs(Date.parse(line.time) - Date.now()) < 3_600_000, line.time);
    assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  renameSync(file, `${file}.1`);
  process.kill(pid, 'SIGHUP');
  await until('a log', () => existsSync(file) && runtime.log().length > 0);
  assert.equal(runtime.log()[0]?.msg, 'the log is opened anew');
  assert.equal(runtime.run('bricks_kill_server').status, 0, 'SIGHUP does not end it');
  const [before, after] = [parseLog(readFileSync(`${file}.1`, 'utf8')), runtime.log()];
  assert.deepEqual(before.map(({ msg }) => msg).slice(1), ['first']);
  assert.match(after[1]?.msg ?? '', /^ends: bricks-kill-server \(\d+\) asked for it$/);
});

test('the level of the log is an option, and can be changed while the daemon runs', async (t) => {
  const runtime = new Runtime(t);
  const server = await runtime.foreground(['--log-level', 'info']);
  const client = await runtime.client(t);
  const visit = async (name: string): Promise<void> => {
    await (await runtime.client(t, { program: name })).leave();
    await until(
      'it to have gone',
      async () => ((await client.request('stats')).snapshot as unknown as Snapshot).clients === 1,
    );
  };
  await visit('early');
  await client.evaluate('BRICKS.set_log_level("debug")');
  await visit('middle');
  await client.evaluate('BRICKS.set_log_level("warn")');
  await visit('late');
  const outcome = await client.evaluate('BRICKS.set_log_level("loud")');
  assert.equal(outcome.kind, 'error');
  assert.match(
    outcome.message ?? '',
    /^prompt:1: BRICKS\.set_log_level: .*trace, debug, info, warn, error, fatal.*"loud"$/,
  );
  server.child.kill('SIGTERM');
  await server.ended();
  assert.match(server.output(), /middle \(\d+\) has come/);
  assert.doesNotMatch(server.output(), /early|late|ends:/);
  for (const line of parseLog(server.output())) assert.equal(typeof line.msg, 'string');
});
