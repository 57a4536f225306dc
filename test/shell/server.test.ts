// The daemon's life: how it starts, what keeps it from starting, that there is one for each runtime directory, how it
// ends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCapture } from '../support/capture.ts';
import { isRunning, parseLog, Runtime } from '../support/daemon.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { run, skipWithout, start, until } from '../support/programs.ts';

/** Fails unless a program failed with one line that matches. */
function assertOneLine(done: { status: number | null; stdout: string; stderr: string }, status: number, line: RegExp) {
  assert.deepEqual([done.status, done.stdout], [status, ''], done.stderr);
  assert.match(done.stderr, /^[^\n]+\n$/, 'one line');
  assert.match(done.stderr, line);
}

/** What proc(5) says behind the name in parentheses: state, ppid, pgrp, session, tty_nr. */
function processFields(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
}

test('it detaches: a session of its own, no terminal, nothing of the starting command', (t) => {
  const runtime = new Runtime(t);
  // That the starting command's output comes to its end says as well that the daemon does not hold it open.
  const pid = runtime.startDaemon();
  const [, parent, , session, terminal] = processFields(pid);
  assert.deepEqual([session, terminal], [String(pid), '0']);
  assert.notEqual(parent, String(process.pid));
  assert.equal(readlinkSync(`/proc/${pid}/fd/0`), '/dev/null');
  for (const fd of [1, 2])
    assert.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), join(runtime.folder, 'bricks-server.log'));
  assert.deepEqual(runtime.files(), ['bricks-server.log', 'bricks-server.pid', 'control.sock', 'status.json']);
  const status = JSON.parse(readFileSync(join(runtime.folder, 'status.json'), 'utf8')) as Record<string, unknown>;
  assert.deepEqual([status.pid, status.engines], [pid, []]);

  assert.deepEqual(runtime.run('bricks_kill_server'), { status: 0, stdout: '', stderr: '' });
  assert.ok(!isRunning(pid), 'it has ended when the command returns');
  assert.deepEqual(runtime.files(), ['bricks-server.log']);
  assertOneLine(
    runtime.run('bricks_kill_server'),
    1,
    /^bricks-kill-server: no daemon answers at \S+\/control\.sock: there is none to end; BRICKS_RUNTIME_DIR says where to look\n$/,
  );
});

test('the runtime directory is made where it is missing', (t) => {
  const runtime = new Runtime(t);
  const folder = join(runtime.folder, 'a/b');
  const done = runtime.run('bricks_server', [], '', { BRICKS_RUNTIME_DIR: folder });
  assert.deepEqual(done, { status: 0, stdout: '', stderr: '' });
  assert.equal(runtime.run('bricks_kill_server', [], '', { BRICKS_RUNTIME_DIR: folder }).status, 0);
});

test('a second daemon is refused, by the process id of the first, which is not disturbed', async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon(['-f', runtime.script('first = true')]);
  const client = await runtime.client(t);
  for (const args of [[], ['--foreground', '--keep-going', '-f', '/none.lua']]) {
    const log = runtime.log().length;
    assertOneLine(
      runtime.run('bricks_server', args),
      1,
      new RegExp(
        `^bricks-server: a daemon runs here already: process ${pid} holds .*; end it with bricks-kill-server$`,
        'm',
      ),
    );
    assert.equal(runtime.log().length, log, 'nothing is written to its log');
  }
  assert.equal(runtime.pid(), pid);
  assert.equal(await client.value('first'), 'true');
  assert.equal(await (await runtime.client(t)).value('first'), 'true', 'its socket is still there');
  assert.ok(existsSync(join(runtime.folder, 'status.json')));
});

test('two that start at once: one runs, the other is refused', async (t) => {
  const runtime = new Runtime(t);
  const both = [1, 2].map(() => runtime.spawn('bricks_server'));
  const statuses = await Promise.all(both.map(async (program) => (await program.ended()).code));
  assert.deepEqual(statuses.sort(), [0, 1], both.map((program) => program.output()).join());
  assert.equal(await (await runtime.client(t)).value('1'), '1');
});

test('what a killed daemon leaves behind is no obstacle, nor a process that has got its number', async (t) => {
  const runtime = new Runtime(t);
  await runtime.kill('SIGKILL', runtime.startDaemon());
  assert.ok(existsSync(runtime.socket), 'left behind');
  assertOneLine(runtime.run('bricks_shell', ['-e', '1']), 1, /^bricks-shell: no daemon answers at /);
  const second = runtime.startDaemon();
  assert.equal(await (await runtime.client(t)).value('1 + 1'), '2');
  await runtime.kill('SIGKILL', second);
  writeFileSync(join(runtime.folder, 'bricks-server.pid'), `${process.pid}\n`);
  const third = runtime.startDaemon();
  assert.notEqual(third, process.pid);
  assert.equal(runtime.run('bricks_kill_server').status, 0);
});

test('the command returns when the startup script has ended, and what that printed is in the log', async (t) => {
  const runtime = new Runtime(t);
  const script = `print("begins") io.stderr:write("to stderr\\n") BRICKS.sleep(0.4) isReady = true io.write("no line's end")`;
  runtime.startDaemon(['-f', runtime.script(script)]);
  assert.equal(await (await runtime.client(t)).value('isReady'), 'true');
  const lines = runtime.log().map(({ level, msg }) => [level, msg]);
  assert.deepEqual(lines.slice(1), [
    ['info', 'begins'],
    ['warn', 'to stderr'],
    ['info', "no line's end"],
  ]);
});

test('a startup script that fails: its message and traceback, status 1, and nothing is left', (t) => {
  const runtime = new Runtime(t);
  const cases: [source: string, status: number, stderr: RegExp][] = [
    [
      'local function f()\n  error("bad")\nend\nf()',
      1,
      /^bricks-server: the startup script failed: \S+script\.lua:2: bad\nstack traceback:\n(.*\n)*.*script\.lua:4: in main chunk\n/,
    ],
    ['x = = 1', 1, /^bricks-server: the startup script failed: \S+script\.lua:1: unexpected symbol near '='\n$/],
    ['for i = 1, 2 do', 1, /^bricks-server: the startup script failed: \S+script\.lua:1: .*'end' expected.*\n$/],
    ['os.exit(3)', 3, /^bricks-server: the startup script failed: \S+script\.lua called os\.exit\(3\)\n$/],
    ['error({})', 1, /^bricks-server: the startup script failed: error object is a table value\n/],
  ];
  for (const [source, status, stderr] of cases) {
    const done = runtime.run('bricks_server', ['-f', runtime.script(source)]);
    assert.deepEqual([done.status, done.stdout], [status, ''], source);
    assert.match(done.stderr, stderr, source);
    assert.deepEqual(runtime.files(), ['bricks-server.log', 'script.lua'], source);
    assert.match(runtime.logText(), /the startup script failed/);
  }
  assertOneLine(
    runtime.run('bricks_server', ['-f', '/none.lua']),
    1,
    /^bricks-server: cannot read the script \/none\.lua: ENOENT/,
  );
  assert.deepEqual(runtime.files(), ['bricks-server.log', 'script.lua']);
});

test('a startup script that fails in the foreground ends the daemon as well', async (t) => {
  const runtime = new Runtime(t);
  const program = runtime.spawn('bricks_server', ['--foreground', '-f', runtime.script('error("bad")')]);
  assert.deepEqual(await program.ended(), { code: 1, signal: null });
  assert.match(program.output(), /the startup script failed: \S+script\.lua:1: bad\\nstack traceback:/);
  assert.deepEqual(runtime.files(), ['script.lua']);
});

test('--keep-going: the daemon stays, and the command says what failed', async (t) => {
  const runtime = new Runtime(t);
  const done = runtime.run('bricks_server', ['--keep-going', '-f', runtime.script('before = 1 error("bad")')]);
  assert.deepEqual([done.status, done.stdout], [0, '']);
  assert.match(
    done.stderr,
    /^bricks-server: the startup script failed, the daemon stays: \S+script\.lua:1: bad\nstack/,
  );
  assert.equal(await (await runtime.client(t)).value('before'), '1');
});

test('a startup script that ends itself, or the daemon', async (t) => {
  const runtime = new Runtime(t);
  const ended = runtime.run('bricks_server', ['-f', runtime.script('BRICKS.shutdown() error("never")')]);
  assert.deepEqual(
    [ended.status, ended.stderr],
    [0, `bricks-server: ${runtime.folder}/script.lua has ended the daemon\n`],
  );
  await until('the daemon to end', () => runtime.files().join() === 'bricks-server.log,script.lua');
  runtime.startDaemon(['-f', runtime.script('global = 1 os.exit(0) error("never")')]);
  assert.equal(await (await runtime.client(t)).value('global'), '1');
});

test('what keeps it from starting is one line that says what to do, and nothing is left', (t) => {
  const runtime = new Runtime(t);
  const file = runtime.script('');
  const long = join(runtime.folder, 'x'.repeat(108));
  const cases: [args: readonly string[], status: number, line: RegExp, env?: NodeJS.ProcessEnv][] = [
    [['--nope'], 2, /^bricks-server: unknown option '--nope'; try bricks-server --help$/m],
    [['extra'], 2, /^bricks-server: unexpected argument 'extra'; try/],
    [['--log-level', 'loud'], 2, /^bricks-server: log-level: "loud" is none of trace, debug, .*; try/],
    [['-b', 'many'], 2, /^bricks-server: batch: "many" is not a whole number; try bricks-server --help$/m],
    [
      ['--driver', 'pigeon'],
      2,
      /^bricks-server: default driver: "pigeon" is not there; .*; try bricks-server --help$/m,
    ],
    [['--group', 'no-such-group'], 1, /^bricks-server: group "no-such-group": no such group; getent group lists/],
    [
      ['--log', '/proc/nope/log'],
      1,
      /^bricks-server: cannot write the log \/proc\/nope\/log: .*; choose another with --log$/m,
    ],
    [
      ['--foreground', '--log', runtime.folder],
      1,
      /^bricks-server: cannot write the log .*; choose another with --log$/m,
    ],
    [
      [],
      1,
      /^bricks-server: runtime directory: cannot create \S*script\.lua\/x: .*; set BRICKS_RUNTIME_DIR to/,
      { BRICKS_RUNTIME_DIR: `${file}/x` },
    ],
    [
      [],
      1,
      /^bricks-server: runtime directory: the path of the control socket .* 107; set BRICKS_RUNTIME_DIR to a short/,
      { BRICKS_RUNTIME_DIR: long },
    ],
  ];
  for (const [args, status, line, env] of cases) {
    assertOneLine(runtime.run('bricks_server', args, '', env), status, line);
    assert.ok(!existsSync(runtime.socket) && !existsSync(join(runtime.folder, 'bricks-server.pid')), args.join(' '));
    assert.ok(!existsSync(join(runtime.folder, 'status.json')), args.join(' '));
  }
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal}: engines stop, captures are whole, statistics are logged, files go`, {
    skip: skipWithout('tcpdump'),
  }, async (t) => {
    const runtime = new Runtime(t);
    const capture = join(runtime.folder, 'out.pcap');
    // At a tenth of the pace it was recorded at, in 44 s: most of it is still to come when the signal does.
    const script = runtime.script(`
      pe = PktEngine.new("e0")
      pe:link(Brick.new("PcapWriter"):connect_input("pcap:${demoCapture}?speed=0.1"):connect_output("${capture}"))
      pe:start()`);
    const program = await runtime.foreground(['-f', script]);
    const client = await runtime.client(t);
    await until('packets', async () => Number(await client.value('PktEngine.retrieve("e0"):stats().rx_packets')) > 10);
    program.child.kill(signal);
    assert.deepEqual(await program.ended(), { code: 0, signal: null });
    assert.deepEqual(runtime.files(), ['out.pcap', 'script.lua']);
    const log = parseLog(program.output());
    assert.ok(log.some(({ msg }) => msg === `ends: ${signal}`));
    const final = log.find(({ msg }) => msg.startsWith('final statistics\n')) ?? assert.fail(program.output());
    const count = final.engines?.[0]?.txPackets ?? 0;
    assert.ok(count > 10 && count < 458, `${count} packets: it was in the middle of them`);
    assert.match(final.msg, new RegExp(`^e0 .*\\b${final.engines?.[0]?.rxPackets}\\b`, 'm'));
    assert.equal(readCapture(capture).packets.length, count);
    assert.equal(run('tcpdump', ['-nr', capture]).split('\n').length - 1, count, 'tcpdump reads all of it');
  });
}

test('SIGTERM during a startup script that sleeps, spins or waits ends it', async (t) => {
  for (const source of [
    'BRICKS.sleep(1000)',
    'while true do pcall(function() while true do end end) end',
    'io.popen("sleep 1000"):read("*a")',
  ]) {
    const runtime = new Runtime(t);
    const program = await runtime.foreground(['-f', runtime.script(`print("runs") ${source}`)]);
    await program.until(/"runs"/);
    program.child.kill('SIGTERM');
    assert.deepEqual(await program.ended(), { code: 0, signal: null }, source);
    assert.deepEqual(runtime.files(), ['script.lua']);
  }
});

/** Compiles the service manager's end. */
function makeListener(folder: string): string {
  const program = join(folder, 'notify_listener');
  run('cc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, 'test/support/notify_listener.c']);
  return program;
}

test('a service manager hears when it is ready, and when it ends', { skip: skipWithout('cc') }, async (t) => {
  const runtime = new Runtime(t);
  const listenerProgram = makeListener(makeFolder(t));
  for (const address of [join(runtime.folder, 'notify.sock'), `@bricks-test-${process.pid}`]) {
    const listener = start(t, listenerProgram, [address]);
    await listener.until(/^listening\n/);
    const script = runtime.script('print(os.getenv("NOTIFY_SOCKET")) while not go do BRICKS.sleep(0.01) end');
    const server = await runtime.foreground(['-f', script], { NOTIFY_SOCKET: address });
    await server.until(/"msg":"nil"/);
    assert.doesNotMatch(listener.output(), /READY/, 'not while the startup script runs');
    await (await runtime.client(t)).evaluate('go = true');
    await listener.until(/\nREADY=1 STATUS=control socket \S+\/control\.sock\n$/);
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
    await listener.until(/\nSTOPPING=1\n$/);
    listener.child.kill('SIGKILL');
    await listener.ended();
  }
});

test('a service manager that cannot be told is a warning', async (t) => {
  const runtime = new Runtime(t);
  for (const address of ['/none/notify.sock', 'no address', `/${'x'.repeat(200)}`]) {
    const server = await runtime.foreground([], { NOTIFY_SOCKET: address });
    await server.until(/"level":"warn",.*NOTIFY_SOCKET/);
    assert.equal(await (await runtime.client(t)).value('1'), '1');
    server.child.kill('SIGTERM');
    assert.deepEqual(await server.ended(), { code: 0, signal: null });
  }
});

test('processes that scripts have started end with the daemon', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon(['-f', runtime.script(`h = io.popen("echo $$; exec sleep 1000") child = h:read("*l")`)]);
  const child = Number(await (await runtime.client(t)).value('child'));
  assert.ok(isRunning(child));
  assert.equal(runtime.run('bricks_kill_server').status, 0);
  await until('the process to end', () => !isRunning(child));
});

test('bricks -d is bricks-server, wherever the option stands', (t) => {
  for (const args of [
    ['-d', '-f', 'scripts/utils.lua'],
    ['-f', 'scripts/utils.lua', '--daemon'],
  ]) {
    const runtime = new Runtime(t);
    assert.deepEqual(runtime.run('bricks', args), { status: 0, stdout: '', stderr: '' });
    assert.equal(runtime.run('bricks_kill_server').status, 0);
  }
});

test('commands for a daemon with a log of its own', (t) => {
  const runtime = new Runtime(t);
  const log = join(runtime.folder, 'logs/own.log');
  mkdirSync(join(runtime.folder, 'logs'));
  runtime.startDaemon([
    '--log',
    log,
    '--log-level',
    'warn',
    '-f',
    runtime.script('print("quiet") io.stderr:write("loud\\n")'),
  ]);
  assert.equal(runtime.run('bricks_kill_server').status, 0);
  const lines = parseLog(readFileSync(log, 'utf8'));
  assert.deepEqual(
    lines.map(({ level, msg }) => [level, msg]),
    [['warn', 'loud']],
  );
  assert.ok(!existsSync(join(runtime.folder, 'bricks-server.log')));
  assert.equal(spawnSync('pgrep', ['-f', log]).status, 1, 'no process is left');
});
