// The brick Script: a program beside the engine gets every packet, and whatever becomes of it the engine goes on.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { companionsEnded } from '../../engine/companion.ts';
import { Brick, BricksError, type EngineStats, onReport, PktEngine, type PortStats, type Report } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import { awkward } from '../support/awkward.ts';
import { assertSamePackets, readCapture, writeCapture } from '../support/capture.ts';
import { isRunning } from '../support/daemon.ts';
import { engineName, runGraph } from '../support/engines.ts';
import { makeFolder } from '../support/files.ts';
import { usePipeFolder } from '../support/pipes.ts';
import { projectFolder, start, until } from '../support/programs.ts';

usePipeFolder();

const passing: Readonly<Record<string, string>> = {
  'pass.mjs': 'export default function () {}',
  'pass.ts': 'export default function (batch: { count: number }): void { void batch.count; }',
  'pass.lua': 'function process(batch) end',
};

function scriptFile(t: TestContext, name: string, text: string): string {
  const file = join(makeFolder(t), name);
  writeFileSync(file, text);
  return file;
}

/** A generator that drops what is not taken, as an interface does. */
const live = 'null:?frames=60&pausable=0';
const capture = (packets: number): string => `null:?frames=60&packets=${packets}&pausable=1`;

/** Starts an engine with one Script brick; it is gone at the end of the test. */
function startEngine(t: TestContext, input: string, options: Record<string, string | number | boolean>): PktEngine {
  const engine = new PktEngine(engineName());
  t.after(async () => {
    if (engine.isRunning) engine.stop();
    engine.delete();
    await companionsEnded();
  });
  return engine.link(new Brick('Script', options).connectInput(input).connectOutput('null:')).start();
}

/** The two pipes between engine and script. */
function pipesOf(stats: EngineStats): { there: PortStats; back: PortStats } {
  const find = (end: string): PortStats => stats.ports.find(({ name }) => name.endsWith(end)) as PortStats;
  return { there: find('.script0}0'), back: find('.script0}1') };
}

/** Packets that the script had: what it got is what it sent on, declined, or left unread or in its hands. */
function inScript(stats: EngineStats): number {
  const { there, back } = pipesOf(stats);
  const { unread = 0 } = there.others;
  const { declined = 0, unreceived = 0 } = back.others;
  return there.txPackets - unread - back.rxPackets - declined - unreceived;
}

function listen(t: TestContext): Report[] {
  const reports: Report[] = [];
  t.after(onReport((report) => reports.push(report)));
  return reports;
}

const faults = (reports: readonly Report[]): string[] =>
  reports.filter(({ kind }) => kind === 'fault').map(({ text }) => text);

/** The program beside an engine: the process that reads its pipe. */
async function scriptPid(engine: PktEngine): Promise<number> {
  const pid = (): number => pipesOf(engine.stats()).there.others.reader_pid ?? 0;
  await until('the script to read its pipe', () => pid() > 0);
  return pid();
}

for (const [name, text] of Object.entries(passing)) {
  test(`a script that does nothing, ${name}, keeps every byte, length and nanosecond, in order`, async (t) => {
    const folder = makeFolder(t);
    const [input, output] = [join(folder, 'in.pcap'), join(folder, 'out.pcap')];
    // Time 0 means "now" to whoever writes into a pipe.
    const packets = awkward().filter(({ timestampNs }) => timestampNs > 0n);
    writeCapture(input, packets);
    const file = scriptFile(t, name, text);
    const brick = new Brick('Script', file).connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`);
    const stats = await runGraph(brick);
    assertSamePackets(readCapture(output).packets, packets, name);
    assert.equal(inScript(stats), 0);
    assert.deepEqual(stats.bricks[0]?.outputs, [packets.length, packets.length], 'to the user, to the script');
  });
}

test('verdicts choose outputs, drop and change, below and above other bricks', async (t) => {
  const file = scriptFile(
    t,
    'verdicts.mjs',
    `let n = 0;
export default function (batch) {
  for (const packet of batch) {
    const kind = n++ % 4;
    if (kind === 0) packet.drop();
    if (kind === 1) packet.output(1);
    if (kind === 2) packet.replace(Uint8Array.of(1, 2, 3));
  }
}`,
  );
  const output = join(makeFolder(t), 'out.pcap');
  const script = new Brick('Script', file).connectInput('a}0').connectOutput('b{0', 'null:');
  const writer = new Brick('PcapWriter').connectInput('b}0').connectOutput(output);
  const source = new Brick('Dummy').connectInput(capture(4000)).connectOutput('a{0');
  const stats = await runGraph(source.link(script.link(writer)));
  const written = readCapture(output).packets;
  assert.equal(written.length, 2000);
  assert.equal(written.filter(({ data }) => data.equals(Uint8Array.of(1, 2, 3))).length, 1000);
  assert.equal(written.filter(({ data }) => data.length === 60).length, 1000);
  assert.equal(pipesOf(stats).back.others.declined, 1000);
  assert.equal(inScript(stats), 0);
});

test('a script that releases its batch loses none of it', async (t) => {
  const file = scriptFile(t, 'release.mjs', 'export default function (batch) { batch.release(); }');
  const engine = startEngine(t, capture(1000), { file });
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.equal(pipesOf(engine.stats()).back.rxPackets, 1000);
  assert.equal(inScript(engine.stats()), 0);
});

test('what a script prints is handed out, also what it prints at the end', async (t) => {
  const reports = listen(t);
  const file = scriptFile(t, 'print.lua', 'function process(b) end function finish() print("seen", arg[1]) end');
  const engine = startEngine(t, capture(10), { file, argument: 'by me' });
  assert.equal(await engine.wait(30), true);
  engine.stop();
  await companionsEnded();
  assert.deepEqual(reports, [{ engine: engine.name, kind: 'output', text: 'seen\tby me' }]);
});

test('a script that fails now and then is started anew; nothing is lost without a name', async (t) => {
  const reports = listen(t);
  const file = scriptFile(
    t,
    'sometimes.mjs',
    `let packets = 0;
export default function (batch) {
  packets += batch.count;
  if (packets > 3000) throw new Error('enough');
}`,
  );
  const engine = startEngine(t, capture(15_000), { file, slots: 64 });
  assert.equal(await engine.wait(60), true, 'a capture waits for the script to come back');
  engine.stop();
  const stats = engine.stats();
  assertAccounting(stats, engine.plan);
  const { there, back } = pipesOf(stats);
  assert.equal(there.txPackets, 15_000);
  assert.equal(there.others.attaches, faults(reports).length + 1);
  assert.ok(faults(reports).length >= 2, 'it has failed twice at least');
  for (const fault of faults(reports)) {
    assert.match(
      fault,
      /^brick "Script" \(.*\.script0\): .*sometimes\.mjs:4: Error: enough; starting it anew in 0\.\d s$/,
    );
  }
  assert.equal((there.others.unread ?? 0) + back.rxPackets + inScript(stats), 15_000);
});

test('a script that fails at once is given up, and the engine goes on without it', async (t) => {
  for (const options of [{ restart: true }, { restart: false }]) {
    const reports = listen(t);
    const file = scriptFile(t, 'bad.lua', 'function process(batch) local x = nil; x.y = 1 end');
    const engine = startEngine(t, capture(200_000), { file, ...options });
    assert.equal(await engine.wait(60), true, 'a capture does not wait for what will not come');
    engine.stop();
    const stats = engine.stats();
    assertAccounting(stats, engine.plan);
    assert.ok((stats.drops.no_reader ?? 0) > 0);
    const given = faults(reports).at(-1);
    assert.equal(faults(reports).length, options.restart ? 5 : 1);
    assert.match(given ?? '', /bad\.lua:1: .*; its packets are dropped \(no_reader\)/);
  }
});

test('a failure is reported also where the engine is stopped before it is known, and that of finish()', async (t) => {
  const scripts = {
    // The capture fits the pipe: with its reader gone nothing is undelivered, and the engine can be stopped at once.
    'last.mjs': "export default function () { throw new Error('no luck'); }",
    'finish.mjs': "export default function () {}\nexport function finish() { throw new Error('no luck'); }",
  };
  for (const [name, text] of Object.entries(scripts)) {
    const reports = listen(t);
    const engine = startEngine(t, capture(10), { file: scriptFile(t, name, text) });
    assert.equal(await engine.wait(30), true);
    engine.stop();
    await companionsEnded();
    assert.equal(faults(reports).length, 1, name);
    assert.match(faults(reports)[0] ?? '', /^brick "Script" \(.*\.script0\): .*mjs:[12]: Error: no luck/, name);
  }
});

test('an engine that is started again at once gets no program of its last start', async (t) => {
  const reports = listen(t);
  // Slow, so that both would be there together.
  const file = scriptFile(t, 'slow.mjs', 'export default () => new Promise((done) => setTimeout(done, 50));');
  const engine = startEngine(t, capture(20_000), { file });
  engine.stop().start();
  assert.equal(await engine.wait(30), true);
  // That it is alone: who came second was turned away, and would have failed.
  engine.stop();
  await companionsEnded();
  assert.deepEqual(reports, []);
  assert.equal(pipesOf(engine.stats()).back.others.attaches, 1);
  assert.equal(inScript(engine.stats()), 0);
});

test('a script that prints without end, and without a line, comes in pieces', async (t) => {
  const pieces: number[] = [];
  t.after(onReport(({ text }) => pieces.push(text.length)));
  const file = scriptFile(
    t,
    'flood.mjs',
    `const piece = 'x'.repeat(2 ** 16);
export default async function () {
  for (let i = 0; i < 64; i++) await new Promise((done) => process.stdout.write(piece, done));
}`,
  );
  const engine = startEngine(t, capture(10), { file });
  assert.equal(await engine.wait(30), true);
  engine.stop();
  await companionsEnded();
  assert.equal(
    pieces.reduce((sum, length) => sum + length, 0),
    2 ** 22,
  );
  assert.ok(Math.max(...pieces) < 2 ** 18, 'no piece is as long as the line');
});

test('a script that leaves a process behind, which holds its output open, has ended all the same', async (t) => {
  const reports = listen(t);
  const file = scriptFile(
    t,
    'leaves.mjs',
    `import { spawn } from 'node:child_process';
const left = spawn('sleep', ['1000'], { stdio: 'inherit', detached: true });
left.unref();
console.log(left.pid);
export default function () { process.exit(3); }`,
  );
  t.after(() => {
    for (const { kind, text } of reports) if (kind === 'output') process.kill(Number(text));
  });
  const engine = startEngine(t, capture(100_000), { file, restart: false });
  assert.equal(await engine.wait(30), true, 'a capture does not wait for what will not come');
  engine.stop();
  await companionsEnded();
  assert.match(faults(reports)[0] ?? '', /ended with status 3; its packets are dropped/);
});

test('a script that cannot be started is a failure like any other', async (t) => {
  const reports = listen(t);
  const file = scriptFile(t, 'pass.mjs', passing['pass.mjs'] ?? '');
  // One argument of a program has 128 KiB at most: execve(2).
  const engine = startEngine(t, capture(1000), { file, restart: false, argument: 'x'.repeat(200_000) });
  assert.equal(await engine.wait(30), true);
  assert.match(faults(reports)[0] ?? '', /E2BIG; its packets are dropped \(no_reader\)/);
});

test('a script that cannot be started anew, for want of descriptors, costs only its own packets', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'fails.mjs'), 'export default function () { process.exit(3); }');
  writeFileSync(
    join(folder, 'main.mts'),
    `import { closeSync, openSync } from 'node:fs';
import { Brick, onReport, PktEngine } from '${projectFolder}/index.ts';
const held = [];
onReport(({ text }) => {
  console.log(text);
  try {
    for (;;) held.push(openSync('/dev/null'));
  } catch {
    // That was the last one.
  }
});
const engine = new PktEngine('e');
engine.link(new Brick('Script', '${folder}/fails.mjs').connectInput('${capture(100_000)}').connectOutput('null:')).start();
const isDelivered = await engine.wait(30);
for (const fd of held) closeSync(fd);
console.log('delivered', isDelivered);
engine.stop();
`,
  );
  const line = `ulimit -n 200; exec "${process.execPath}" --import tsx "${folder}/main.mts"`;
  const program = start(t, 'sh', ['-c', line], { stdio: ['ignore', 'pipe', 'pipe'] });
  assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.output());
  assert.match(
    program.stdout(),
    /ended with status 3; starting it anew.*\n.*EMFILE; starting it anew.*\n(.*\n)*delivered true\n$/,
  );
});

test('a script that never comes back costs only its own packets', async (t) => {
  const file = scriptFile(t, 'loop.mjs', 'export default function () { for (;;); }');
  const engine = startEngine(t, live, { file, slots: 64 });
  const pid = await scriptPid(engine);
  await until('its pipe to be full', () => (engine.stats().drops.pipe_full ?? 0) > 1000);
  engine.stop();
  const stats = engine.stats();
  assertAccounting(stats, engine.plan);
  assert.equal(pipesOf(stats).back.rxPackets, 0);
  await companionsEnded();
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'it is ended, though it does not end by itself');
});

test('a script that is killed comes back, and live traffic goes on meanwhile', async (t) => {
  const reports = listen(t);
  const engine = startEngine(t, live, { file: scriptFile(t, 'pass.mjs', passing['pass.mjs'] ?? '') });
  const pid = await scriptPid(engine);
  process.kill(pid, 'SIGKILL');
  await until('another process to read', () => {
    const { reader_pid: now = 0 } = pipesOf(engine.stats()).there.others;
    return now > 0 && now !== pid;
  });
  const before = pipesOf(engine.stats()).back.rxPackets;
  await until('packets to come back', () => pipesOf(engine.stats()).back.rxPackets > before);
  engine.stop();
  assertAccounting(engine.stats(), engine.plan);
  assert.match(faults(reports)[0] ?? '', /was ended by SIGKILL; starting it anew in 0\.1 s/);
});

test('a script that eats memory has failed, and that is said', async (t) => {
  const reports = listen(t);
  const text = 'const all = []; export default function () { for (;;) all.push(new Array(1000).fill(all.length)); }';
  const engine = startEngine(t, live, { file: scriptFile(t, 'eat.mjs', text), memory_mb: 32, restart: false });
  await until('it to fail', () => faults(reports).length > 0);
  engine.stop();
  assertAccounting(engine.stats(), engine.plan);
  assert.match(faults(reports)[0] ?? '', /^brick "Script" .*: out of memory; its packets are dropped/);
});

test('a script that prints for ever is cut short, and how much is said', async (t) => {
  const reports = listen(t);
  const text = 'export default function () { for (let i = 0; i < 1000; i++) console.log(i); }';
  const engine = startEngine(t, live, { file: scriptFile(t, 'print.mjs', text) });
  await until('lines to be left out', () => reports.some((report) => /^\.\.\. \d+ lines left out/.test(report.text)));
  engine.stop();
});

test('a script ends with the process of its engine, however that ends, and whatever the script does', async (t) => {
  const loop = scriptFile(t, 'loop.mjs', 'export default function () { for (;;); }');
  const text = `import { Brick, PktEngine } from ${JSON.stringify(new URL('../../index.ts', import.meta.url).href)};
const engine = new PktEngine('doomed');
engine.link(new Brick('Script', ${JSON.stringify(loop)}).connectInput('${live}').connectOutput('null:')).start();
setInterval(() => console.log(engine.stats().ports.find(({ driver }) => driver === 'pipe').others.reader_pid), 20);`;
  const program = start(t, process.execPath, ['--import', 'tsx', scriptFile(t, 'engine.mjs', text)], {
    cwd: projectFolder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = Number((await program.until(/^([1-9]\d*)$/m))[1]);
  program.child.kill('SIGKILL');
  await until('the script to be gone', () => !isRunning(pid));
});

test('engines whose names differ only in what a pipe cannot show have scripts of their own', async (t) => {
  const file = scriptFile(t, 'pass.lua', passing['pass.lua'] ?? '');
  for (const name of ['a b', 'a_b', `${'x'.repeat(50)}1`, `${'x'.repeat(50)}2`]) {
    const engine = new PktEngine(name);
    t.after(async () => {
      engine.stop();
      engine.delete();
      await companionsEnded();
    });
    engine.link(new Brick('Script', file).connectInput(live).connectOutput('null:')).start();
  }
});

test('an engine without its script does not start, and says why', (t) => {
  const engine = new PktEngine(engineName());
  t.after(() => engine.delete());
  engine.link(new Brick('Script', '/nowhere.lua').connectInput(live).connectOutput('null:'));
  assert.throws(
    () => engine.start(),
    (error: unknown) => {
      assert.ok(error instanceof BricksError);
      assert.match(error.message, /cannot read the script "\/nowhere\.lua" of brick "Script": there is no such file/);
      return true;
    },
  );
  assert.equal(engine.state, 'stopped');
});

test('two scripts in one engine, started and stopped again and again, leave no process behind', async (t) => {
  const file = scriptFile(t, 'pass.lua', passing['pass.lua'] ?? '');
  const engine = new PktEngine(engineName());
  t.after(() => engine.delete());
  const above = new Brick('Script', file).connectInput(live).connectOutput('a{0');
  engine.link(above.link(new Brick('Script', file).connectInput('a}0').connectOutput('null:')));
  const children = (): string => readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').trim();
  const before = children();
  for (let i = 0; i < 5; i++) {
    engine.start();
    // In the first turns they are ended before they have begun.
    if (i > 2) await until('packets to come out', () => (engine.stats().bricks[1]?.outputs[0] ?? 0) > 100);
    engine.stop();
    assertAccounting(engine.stats(), engine.plan);
  }
  await companionsEnded();
  assert.equal(children(), before);
});
