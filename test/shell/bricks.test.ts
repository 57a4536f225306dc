// The program: what it prints where, and its exit statuses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { version } from '../../package_info.ts';
import { readCapture } from '../support/capture.ts';
import { makeFolder } from '../support/files.ts';
import {
  commandOf,
  nodeArguments,
  projectFolder,
  run,
  skipWithout,
  start,
  until,
  waitMs,
} from '../support/programs.ts';

const bricks = nodeArguments('shell/bricks.ts');

function runBricks(args: readonly string[], input = '', env: Record<string, string> = {}) {
  const done = spawnSync('node', [...bricks, ...args], {
    cwd: projectFolder,
    encoding: 'utf8',
    input,
    timeout: waitMs,
    env: { ...process.env, ...env },
  });
  return { status: done.status, stdout: done.stdout, stderr: done.stderr };
}

function runShell(line: string) {
  return spawnSync('bash', ['-o', 'pipefail', '-c', line], { cwd: projectFolder, encoding: 'utf8', timeout: waitMs });
}

function script(t: TestContext, source: string): string {
  const file = join(makeFolder(t), 'script.lua');
  writeFileSync(file, source);
  return file;
}

test('--help and --version', () => {
  const help = runBricks(['-h']);
  assert.deepEqual([help.status, help.stderr], [0, '']);
  assert.match(help.stdout, /^Usage: bricks .*\n/);
  assert.match(help.stdout, /-f, --file/);
  assert.deepEqual(runBricks(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' });
});

test('wrong usage is one line with a hint, and status 2', () => {
  const cases: [string[], string][] = [
    [['--nope'], "bricks: unknown option '--nope'; try bricks --help\n"],
    [['extra'], "bricks: unexpected argument 'extra'; try bricks --help\n"],
    [['-b', 'many'], 'bricks: batch: "many" is not a whole number; try bricks --help\n'],
    [['-b', '0'], 'bricks: batch: 0 is out of range; it must be 1 to 4096; try bricks --help\n'],
  ];
  for (const [args, stderr] of cases) assert.deepEqual(runBricks(args), { status: 2, stdout: '', stderr });
  const driver = runBricks(['--driver', 'pigeon']);
  assert.equal(driver.status, 2);
  assert.match(driver.stderr, /^bricks: default driver: "pigeon" is not there; .*; try bricks --help\n$/);
});

test('a driver whose names are not those of interfaces cannot be the default one', () => {
  const { status, stderr } = runBricks(['--driver', 'pcap']);
  assert.equal(status, 2);
  assert.match(stderr, /^bricks: default driver: "pcap" is not one of interfaces by their names; .*packet.*\n$/);
});

test('a wrong BRICKS_DRIVER is one line', () => {
  const done = runBricks([], '', { BRICKS_DRIVER: 'pigeon' });
  assert.equal(done.status, 1);
  assert.match(done.stderr, /^bricks: default driver: "pigeon" is not there.*\n$/);
});

test('a script that fails: message, position and traceback, and status 1', (t) => {
  const file = script(t, 'local function f()\n  error("bad")\nend\nf()');
  const done = runBricks(['-f', file]);
  assert.equal(done.status, 1);
  assert.ok(done.stderr.startsWith(`bricks: ${file}:2: bad\nstack traceback:\n`), done.stderr);
  assert.match(
    runBricks(['-f', script(t, 'x = = 1')]).stderr,
    /^bricks: \S+script\.lua:1: unexpected symbol near '='\n$/,
  );
  const missing = runBricks(['-f', '/none.lua']);
  assert.equal(missing.status, 1);
  assert.match(missing.stderr, /^bricks: cannot read the script \/none\.lua: /);
});

test('an error of the engine is shown on one line', (t) => {
  const done = runBricks(['-f', script(t, 'PktEngine.retrieve("e0")')]);
  assert.equal(done.status, 1);
  assert.match(done.stderr, /^bricks: \S+script\.lua:1: engine "e0": no such engine; have: none\nstack traceback:\n/);
});

test('a script from standard input; os.exit() and BRICKS.shutdown() end it', () => {
  assert.deepEqual(runBricks([], 'print("hi")'), { status: 0, stdout: 'hi\n', stderr: '' });
  assert.equal(runBricks([], 'os.exit(-1)').status, 255);
  assert.deepEqual(runBricks([], 'BRICKS.shutdown() print("no")'), {
    status: 0,
    stdout: 'Goodbye!\n',
    stderr: '',
  });
});

test('it stays until a capture is delivered, then stops the engine and shows statistics', (t) => {
  const folder = makeFolder(t);
  const source = `
    pe = PktEngine.new("e0", 512)
    b = Brick.new("PcapWriter")
    b:connect_input("pcap:test/fixtures/demo.pcap") b:connect_output("${folder}/out.pcap")
    pe:link(b) pe:start() print("started")`;
  const done = runBricks(['-b', '32'], source);
  assert.deepEqual([done.status, done.stderr], [0, '']);
  assert.match(done.stdout, /started\n-+ ENGINE STATISTICS -+\n.*\ne0 \t\t {8}458 \t\t {6}139863 \t\t {11}0\n/);
  assert.ok(readFileSync(join(folder, 'out.pcap')).length > 139_863);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} stops the engines and is success`, async (t) => {
    const file = script(
      t,
      `pe = PktEngine.new("e0") b = Brick.new("Dummy") b:connect_input("null:") b:connect_output("null:")
       pe:link(b) pe:start() print("up") while true do pcall(function() while true do end end) end`,
    );
    const program = start(t, 'node', [...bricks, '-f', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    await program.until(/up/);
    program.child.kill(signal);
    assert.deepEqual(await program.ended(), { code: 0, signal: null });
    assert.match(program.output(), /ENGINE STATISTICS/);
  });
}

test('a capture on standard output is all that is there', { skip: skipWithout('tcpdump') }, (t) => {
  const file = script(
    t,
    `print("not in the capture") pe = PktEngine.new("e0") b = Brick.new("PcapWriter")
     b:connect_input("pcap:test/fixtures/demo.pcap") b:connect_output("pcap:-") pe:link(b) pe:start() print("nor this")`,
  );
  const line = `node ${bricks.join(' ')} -f ${file} | sed 1d | tcpdump -nr - | wc -l`;
  assert.equal(runShell(line).stdout.trim(), '458');
});

test('a reader of our messages that goes away ends nothing', async (t) => {
  const capture = join(makeFolder(t), 'out.pcap');
  const file = script(
    t,
    `pe = PktEngine.new("e0") b = Brick.new("PcapWriter") b:connect_input("pcap:test/fixtures/demo.pcap")
     b:connect_output("${capture}") pe:link(b) pe:start() io.stderr:write(string.rep("x", 100000)) print("on") BRICKS.sleep(0.2)`,
  );
  for (const redirect of ['2> >(exec true)', '2>/dev/full', '> >(exec true)', '2>&-']) {
    assert.equal(runShell(`node ${bricks.join(' ')} -f ${file} ${redirect}`).status, 0, redirect);
    assert.ok(readFileSync(capture).length > 139_863, redirect);
  }
});

test('a capture that is not read or written whole is status 1', (t) => {
  const folder = makeFolder(t);
  const cut = join(folder, 'cut.pcap');
  writeFileSync(cut, readFileSync('test/fixtures/demo.pcap').subarray(0, 50_000));
  const source = (from: string, to: string): string =>
    `pe = PktEngine.new("e0") b = Brick.new("PcapWriter") b:connect_input("pcap:${from}") b:connect_output("${to}")
     pe:link(b) pe:start()`;
  const short = runBricks([], source(cut, join(folder, 'out.pcap')));
  assert.deepEqual([short.status, short.stderr.match(/\n/g)?.length], [1, 1], short.stderr);
  assert.equal(runBricks([], source('test/fixtures/demo.pcap', '/dev/full')).status, 1);
  // A capture is not written over itself, and a start that fails leaves the output's file alone.
  const itself = runBricks([], source(cut, cut));
  assert.match(
    itself.stderr,
    /cut\.pcap": cannot open for input: is being written by a capture output; give another file/,
  );
  assert.equal(runBricks([], source('/none.pcap', cut)).status, 1);
  assert.equal(readFileSync(cut).length, 50_000);
});

test('scripts of the package are found from anywhere', (t) => {
  const done = spawnSync('node', [...bricks, '-f', 'scripts/utils.lua'], {
    cwd: makeFolder(t),
    encoding: 'utf8',
  });
  assert.deepEqual([done.status, done.stderr], [0, '']);
});

test('processes that a script has started with io.popen end with it', async (t) => {
  const pidFile = join(makeFolder(t), 'pid');
  const isThere = `(function() local file = io.open("${pidFile}") return file and file:read("*l") end)()`;
  const done = runBricks(
    [],
    `io.popen("sleep 1000 & echo $! > ${pidFile}; wait") repeat BRICKS.sleep(0.01) until ${isThere}`,
  );
  assert.equal(done.status, 0);
  const pid = readFileSync(pidFile, 'utf8').trim();
  await until('the process to end', () => !existsSync(`/proc/${pid}`));
});

test('the demo splits its capture over four readers', () => {
  const done = runBricks(['-f', 'scripts/startup-demo.lua']);
  assert.deepEqual([done.status, done.stderr], [0, '']);
  const counts = [...done.stdout.matchAll(/^ {2}demo\}\d +(\d+) packets, read by another process: +(\d+) bytes$/gm)];
  assert.equal(counts.length, 4);
  assert.equal(
    counts.reduce((sum, [, packets]) => sum + Number(packets), 0),
    458,
  );
  assert.match(done.stdout, /Goodbye!/);
});

test('bricks-pipe passes arguments, output and exit status on', () => {
  const pipe = (...args: string[]) =>
    spawnSync('node', [...nodeArguments('shell/bricks_pipe.ts'), ...args], { cwd: projectFolder, encoding: 'utf8' });
  assert.match(pipe('--help').stdout, /^Usage: bricks-pipe/);
  assert.equal(pipe('--nope').status, 2);
});

/** An engine whose pipe always has packets, in a process of its own; the environment in which programs find the pipe. */
async function serveEndlessPipe(t: TestContext, pipe: string): Promise<NodeJS.ProcessEnv> {
  const env = { ...process.env, BRICKS_RUNTIME_DIR: makeFolder(t) };
  const brick = `Brick.new("Dummy"):connect_input("null:"):connect_output("${pipe}")`;
  const file = script(t, `pe = PktEngine.new("e") pe:link(${brick}) pe:start() print("up")`);
  const program = start(t, 'node', [...bricks, '-f', file], { stdio: ['ignore', 'pipe', 'pipe'], env });
  await program.until(/up/);
  return env;
}

test('a bricks-pipe that is killed leaves the pipe to others', async (t) => {
  const folder = makeFolder(t);
  const env = { ...process.env, BRICKS_RUNTIME_DIR: folder };
  const file = script(
    t,
    'pe = PktEngine.new("e0") pe:link(Brick.new("Dummy"):connect_input("null:"):connect_output("k{0")) pe:start() print("up")',
  );
  const program = start(t, 'node', [...bricks, '-f', file], { stdio: ['ignore', 'pipe', 'pipe'], env });
  await program.until(/up/);
  const bricksPipe = nodeArguments('shell/bricks_pipe.ts');
  const reader = start(t, 'node', [...bricksPipe, 'k}0'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
    detached: false,
  });
  const list = (): string =>
    spawnSync('node', [...bricksPipe, '--list'], { cwd: projectFolder, encoding: 'utf8', env }).stdout;
  await until('the reader to attach', () => /^k\}0 .*bricks-pipe/m.test(list()));
  reader.child.kill('SIGKILL');
  await until('the pipe to be free', () => !/^k\}0 .*bricks-pipe/m.test(list()));
});

test('bricks-pipe under timeout(1), whose signal comes several times, ends with a whole capture', {
  skip: skipWithout('mkfifo'),
}, async (t) => {
  const env = await serveEndlessPipe(t, 'k{0');
  const folder = makeFolder(t);
  const [fifo, file] = [join(folder, 'fifo'), join(folder, 'capture.pcap')];
  assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
  const line = `exec ${commandOf('bricks_pipe').join(' ')} "k}0" >"$0"`;
  const reader = start(t, 'sh', ['-c', line, fifo], { stdio: ['ignore', 'ignore', 'pipe'], env });
  // Nobody reads its output at first: it is in the middle of a write.
  const output = openSync(fifo, 'r');
  t.after(() => closeSync(output));
  const isWriting = new RegExp(`^ *${reader.child.pid} +\\S*pipe_write `, 'm');
  await until('the FIFO to be full', () => isWriting.test(run('ps', ['-eo', 'pgid=,wchan:32=,comm='])));
  for (let times = 0; times < 2; times++) {
    process.kill(-(reader.child.pid ?? assert.fail()), 'SIGTERM');
    await delay(20);
  }
  const copy = start(t, 'sh', ['-c', 'exec cat <&3 >"$0"', file], { stdio: ['ignore', 'ignore', 'inherit', output] });
  assert.deepEqual(await reader.ended(), { code: 0, signal: null }, reader.output());
  assert.match(reader.output(), /^bricks-pipe: k}0: \d+ packets.*, interrupted\n$/);
  await copy.ended();
  const [, said] = /(\d+) packets/.exec(reader.output()) ?? [];
  assert.equal(readCapture(file).packets.length, Number(said));
});
