// The life of an engine: every order of calls ends in success or in one clear error, and leaves nothing behind.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Brick, BricksError, onReport, PktEngine, setDefaultBatchPackets, setDefaultDriver } from '../../index.ts';
import { assertAccounting, total } from '../support/accounting.ts';
import { readCapture } from '../support/capture.ts';
import { engineName } from '../support/engines.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { watchLeaks } from '../support/leaks.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
before(() => {
  process.env.BRICKS_RUNTIME_DIR = makeFolder(root);
});

const passing = (input = 'null:?packets=100'): Brick => new Brick('Dummy').connectInput(input).connectOutput('null:');
const endless = (): Brick => passing('null:?pausable=0');

/** The call fails with this code; the text is one line with the name in it. */
function fails(code: string, name: string, call: () => unknown): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof BricksError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(name), error.message);
    assert.doesNotMatch(error.message, /\n|undefined/);
    return true;
  });
}

/** Makes an engine that goes at the end of the test, whatever its state. */
function make(t: { after(done: () => void): void }, options = {}): PktEngine {
  const engine = new PktEngine(engineName(), options);
  t.after(() => {
    if (!PktEngine.all().includes(engine)) return;
    if (engine.isRunning) engine.stop();
    engine.delete();
  });
  return engine;
}

test('start twice, stop twice, link, unlink and delete while running', (t) => {
  const engine = make(t);
  const { name } = engine;
  fails('ENGINE_NOT_LINKED', name, () => engine.start());
  fails('ENGINE_NOT_RUNNING', name, () => engine.stop());
  engine.link(endless()).start();
  assert.equal(engine.state, 'running');
  fails('ENGINE_STARTED', name, () => engine.start());
  fails('ENGINE_RUNNING', name, () => engine.link(passing()));
  fails('ENGINE_RUNNING', name, () => engine.unlink());
  fails('ENGINE_RUNNING', name, () => engine.delete());
  assert.equal(engine.state, 'running', 'none of that disturbed it');
  engine.stop();
  assert.equal(engine.state, 'stopped');
  fails('ENGINE_NOT_RUNNING', name, () => engine.stop());
  engine.delete();
  for (const call of [
    () => engine.start(),
    () => engine.stop(),
    () => engine.delete(),
    () => engine.link(passing()),
    () => engine.unlink(),
  ]) {
    fails('ENGINE_DELETED', name, call);
  }
});

test('unknown and duplicate names; a name is free again after delete', (t) => {
  fails('ENGINE_UNKNOWN', 'nobody', () => PktEngine.retrieve('nobody'));
  const engine = make(t);
  assert.equal(PktEngine.retrieve(engine.name), engine);
  fails('ENGINE_EXISTS', engine.name, () => new PktEngine(engine.name));
  assert.ok(PktEngine.all().includes(engine));
  engine.delete();
  fails('ENGINE_UNKNOWN', engine.name, () => PktEngine.retrieve(engine.name));
  new PktEngine(engine.name).delete();
});

test('limits of an engine', () => {
  const outOfRange: readonly (() => unknown)[] = [
    () => new PktEngine(''),
    () => new PktEngine('n'.repeat(64)),
    () => new PktEngine('ü'.repeat(32)),
    () => new PktEngine('x', { bufferSlots: 0 }),
    () => new PktEngine('x', { bufferSlots: 524289 }),
    () => new PktEngine('x', { bufferSlots: 1.5 }),
    () => new PktEngine('x', { cpu: -2 }),
    () => new PktEngine('x', { cpu: 1024 }),
    () => setDefaultBatchPackets(0),
    () => setDefaultBatchPackets(4097),
  ];
  for (const call of outOfRange) assert.throws(call, { code: 'LIMIT_EXCEEDED', message: /must be -?\d+ to \d+/ });
  assert.equal(PktEngine.all().length, 0, 'none of them stayed');
  new PktEngine('n'.repeat(63)).delete();
  const made = Array.from({ length: 256 }, (_, i) => new PktEngine(`many${i}`));
  assert.throws(() => new PktEngine('one more'), { code: 'LIMIT_EXCEEDED', message: /256/ });
  for (const engine of made) engine.delete();
});

test('limits of a link', (t) => {
  const engine = make(t);
  for (const options of [
    { batchPackets: 0 },
    { batchPackets: 4097 },
    { queueId: 256 },
    { queueId: -2 },
    { queueId: 0.5 },
  ]) {
    assert.throws(() => engine.link(passing(), options), { code: 'LIMIT_EXCEEDED' }, JSON.stringify(options));
  }
  assert.equal(engine.plan, undefined, 'nothing was linked');
});

test('a name that holds line breaks or quotes makes no second line of an error', () => {
  for (const name of ['a\nb', 'a"b', 'a\u001b[31mb']) {
    let engine: PktEngine | undefined;
    try {
      engine = new PktEngine(name);
      engine.start();
    } catch (error) {
      assert.ok(error instanceof BricksError);
      assert.doesNotMatch(error.message, /\n/, JSON.stringify(error.message));
    } finally {
      engine?.delete();
    }
  }
});

test('a brick serves one engine once', (t) => {
  const [one, other] = [make(t), make(t)];
  const brick = passing();
  one.link(brick);
  fails('BRICK_IN_USE', one.name, () => one.link(brick));
  fails('BRICK_IN_USE', one.name, () => other.link(brick));
  one.unlink();
  other.link(brick);
});

test('a brick below a linked one is in use, too', (t) => {
  const [one, other] = [make(t), make(t)];
  const child = new Brick('Dummy').connectInput('a}0').connectOutput('null:');
  one.link(new Brick('Dummy').connectInput('null:').connectOutput('a{0').link(child));
  fails('BRICK_IN_USE', one.name, () => other.link(child));
});

test('a link that is refused changes nothing', async (t) => {
  const engine = make(t).link(passing());
  const { plan } = engine;
  assert.throws(() => engine.link(new Brick('Merge').connectInput('x}0').connectOutput('x{1')), {
    code: 'PIPE_INPUT',
  });
  assert.equal(engine.plan, plan);
  engine.start();
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.equal(engine.stats().rxPackets, 100);
});

test('two engines may not share an interface without queue ids, nor a pipe or a file', (t) => {
  const [one, other] = [make(t), make(t)];
  one.link(new Brick('LoadBalancer').connectInput('eth0').connectOutput('a{0', 'pcap:/tmp/never-opened.pcap'));
  fails('INPUT_SHARED', 'eth0', () => other.link(passing('eth0')));
  fails('INPUT_SHARED', 'eth0', () => other.link(passing('packet:eth0'), { queueId: 1 }));
  fails('PIPE_SHARED', 'a{0', () => other.link(new Brick('Dummy').connectInput('null:').connectOutput('a{0')));
  fails('OUTPUT_SHARED', 'never-opened', () =>
    other.link(new Brick('PcapWriter').connectInput('null:').connectOutput('/tmp/never-opened.pcap')),
  );
});

test('two engines read an interface by different queue ids, and a file as they like', (t) => {
  const capture = `pcap:${demoCapture}`;
  make(t).link(new Brick('Merge').connectInput('eth0', capture).connectOutput('null:'), { queueId: 1 });
  const other = make(t);
  fails('INPUT_SHARED', 'eth0', () => other.link(passing('eth0'), { queueId: 1 }));
  other.link(new Brick('Merge').connectInput('eth0', capture).connectOutput('null:'), { queueId: 0 });
  assert.deepEqual(
    other.plan?.inputs.map(({ queueId }) => queueId),
    [0, undefined],
  );
});

test('a missing capture, folder or interface: one line that names it, and what was opened is closed', async (t) => {
  const noLeaks = watchLeaks();
  const folder = makeFolder(t);
  const bad: readonly (readonly [string, string, Brick])[] = [
    [
      'no-such.pcap',
      'ENOENT',
      new Brick('PcapReader').connectInput(join(folder, 'no-such.pcap')).connectOutput('null:'),
    ],
    [
      'no-such-folder',
      'ENOENT',
      passing()
        .connectOutput()
        .link(new Brick('Dummy').connectInput('null:').connectOutput(`pcap:${folder}/no-such-folder/x.pcap`)),
    ],
  ];
  for (const [name, code, brick] of bad) {
    const engine = make(t).link(brick);
    fails(code, name, () => engine.start());
    assert.equal(engine.state, 'stopped');
    engine.delete();
  }
  writeFileSync(join(folder, 'text.pcap'), 'This is a text, not a capture; long enough to hold a header.\n');
  writeFileSync(join(folder, 'empty.pcap'), '');
  for (const name of ['text.pcap', 'empty.pcap']) {
    const engine = make(t).link(new Brick('PcapReader').connectInput(join(folder, name)).connectOutput('a{0'));
    assert.throws(
      () => engine.start(),
      (error: unknown) => {
        assert.ok(error instanceof BricksError && error.message.includes(name), String(error));
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
      name,
    );
    engine.delete();
  }
  const engine = make(t).link(new Brick('LoadBalancer').connectInput('no-such-if').connectOutputs('a', 3));
  assert.throws(
    () => engine.start(),
    (error: unknown) => {
      assert.ok(error instanceof BricksError && error.message.includes('no-such-if'), String(error));
      // Without privilege the socket is refused first; that is as true.
      if (process.getuid?.() === 0)
        assert.match(error.message, /^port "packet:no-such-if": cannot open for input: no such interface; have: .*lo/);
      return true;
    },
  );
  engine.delete();
  await noLeaks();
});

test('wait: true when all is delivered, false on timeout, at once without pausable sources', async (t) => {
  const engine = make(t).link(passing());
  assert.equal(await engine.wait(30), true, 'an engine that does not run');
  engine.start();
  assert.equal(await engine.wait(), true);
  assert.equal(engine.state, 'finished');
  assert.equal(engine.stats().txPackets, 100);
  engine.stop();
  const live = make(t).link(endless()).start();
  assert.equal(await live.wait(30), true, 'no pausable source');
  live.stop();
  const stuck = make(t)
    .link(new Brick('Dummy').connectInput('null:?packets=100').connectOutput('nobody-reads{0?wait=1'))
    .start();
  assert.equal(await stuck.wait(0.05), false, 'it waits for a reader');
  assert.equal(await stuck.wait(0), false);
  const stopped = stuck.wait(30);
  stuck.stop();
  assert.equal(await stopped, true, 'a stop ends the wait');
  assertAccounting(stuck.stats(), stuck.plan);
});

test('without a reader packets are dropped as no_reader, and wait() comes back', async (t) => {
  const engine = make(t)
    .link(new Brick('LoadBalancer').connectInput(`pcap:${demoCapture}`).connectOutputs('a', 4))
    .start();
  assert.equal(await engine.wait(30), true);
  engine.stop();
  const stats = engine.stats();
  assertAccounting(stats, engine.plan);
  assert.equal(stats.drops.no_reader, readCapture(demoCapture).packets.length);
  assert.equal(total(stats.drops), stats.drops.no_reader);
});

test('a restart keeps counting, and plays the capture again', async (t) => {
  const engine = make(t).link(passing(`pcap:${demoCapture}`));
  for (const times of [1, 2, 3]) {
    engine.start();
    assert.equal(await engine.wait(30), true);
    engine.stop();
    const stats = engine.stats();
    assertAccounting(stats, engine.plan);
    assert.equal(stats.rxPackets, 458 * times);
  }
});

test('a brick that is connected further after link() counts from the next start', async (t) => {
  const brick = new Brick('LoadBalancer').connectInput('null:?packets=1000&flows=100').connectOutput('null:');
  const engine = make(t).link(brick).start();
  await engine.wait(30);
  engine.stop();
  brick.connectOutput('null:');
  engine.start();
  await engine.wait(30);
  engine.stop();
  assert.equal(engine.stats().bricks[0]?.outputs.length, 2);
  assertAccounting(engine.stats(), engine.plan);
});

test('stop with packets on their way: what was not sent is dropped by name', async (t) => {
  const engine = make(t).link(
    new Brick('Duplicator').connectInput('null:?packets=100000').connectOutput('null:', 'slow{0?wait=1'),
  );
  engine.start();
  await engine.wait(0.05);
  engine.stop();
  const stats = engine.stats();
  assertAccounting(stats, engine.plan);
  assert.equal(stats.inFlight, 0);
});

test('pinning: a processor that is there, and one that is not', (t) => {
  const engine = make(t, { cpu: 0 }).link(passing()).start();
  engine.stop();
  const nowhere = make(t, { cpu: 1023 }).link(passing());
  fails('EINVAL', nowhere.name, () => nowhere.start());
});

test('the default driver must be an interface driver of this build', () => {
  for (const name of ['pcap', 'nothing', '']) assert.throws(() => setDefaultDriver(name), { code: 'ARGUMENT_INVALID' });
  setDefaultDriver('packet');
});

test('the data plane takes an option as it was checked, however the number is written', async (t) => {
  for (const text of ['10', '010', '0x10', '1e1', '0b11', '+12', '12.0']) {
    const brick = (): Brick => passing(`null:?packets=${text}&frames=60`);
    let engine: PktEngine;
    try {
      engine = make(t).link(brick());
    } catch (error) {
      assert.ok(error instanceof BricksError && error.code === 'OPTION_INVALID', String(error));
      continue;
    }
    engine.start();
    const isDone = await engine.wait(30);
    engine.stop();
    assert.equal(isDone, true, `packets=${text} was checked as ${Number(text)} and never ends`);
    assert.equal(engine.stats().rxPackets, Number(text), `packets=${text}`);
  }
});

test('engines run beside each other; stopping one does not disturb another', async (t) => {
  const engines = Array.from({ length: 16 }, () => make(t).link(passing(`pcap:${demoCapture}?loop=20`)));
  const other = make(t).link(endless()).start();
  for (const engine of engines) engine.start();
  other.stop();
  for (const engine of engines) {
    assert.equal(await engine.wait(30), true);
    engine.stop();
    assert.equal(engine.stats().rxPackets, 458 * 20);
    assertAccounting(engine.stats(), engine.plan);
  }
});

test('a capture cut short is reported in one line that names it', async (t) => {
  const folder = makeFolder(t);
  const file = join(folder, 'cut.pcap');
  const { readFileSync } = await import('node:fs');
  writeFileSync(file, readFileSync(demoCapture).subarray(0, 5000));
  const reports: string[] = [];
  t.after(onReport(({ text }) => reports.push(text)));
  const engine = make(t)
    .link(passing(`pcap:${file}`))
    .start();
  await engine.wait(30);
  engine.stop();
  assert.equal(reports.length, 1, JSON.stringify(reports));
  assert.ok(reports[0]?.includes(file), reports[0]);
  assert.doesNotMatch(reports[0] ?? '', /\n/);
});

test('1000 lives leave nothing behind', async () => {
  const live = async (i: number): Promise<void> => {
    const engine = new PktEngine('leak').link(
      new Brick('LoadBalancer').connectInput('null:?packets=10').connectOutput('null:', 'leak{0', 'leak{1'),
    );
    engine.start();
    if (i % 4 === 0) await engine.wait(30);
    engine.stop();
    if (i % 3 === 0) engine.start().stop();
    engine.delete();
  };
  for (let i = 0; i < 20; i++) await live(i);
  const noLeaks = watchLeaks();
  const resident = process.memoryUsage.rss();
  for (let i = 0; i < 1000; i++) await live(i);
  await noLeaks();
  const grownMb = (process.memoryUsage.rss() - resident) / 2 ** 20;
  // A leaked ring of 1 MiB for each life would be 3000 MiB.
  assert.ok(grownMb < 300, `resident memory grew by ${grownMb.toFixed(0)} MiB`);
  assert.equal(existsSync('/dev/shm/bricks'), false);
});
