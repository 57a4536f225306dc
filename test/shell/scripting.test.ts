// bricks-shell without a terminal: what scripts and other programs use. What is printed where, and exit statuses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Done, isRunning, Runtime, wholeFile } from '../support/daemon.ts';
import { demoCapture } from '../support/files.ts';
import { commandOf, start, until } from '../support/programs.ts';

const runtime = new Runtime(wholeFile);
runtime.startDaemon(['-f', 'scripts/utils.lua']);

function shell(args: readonly string[], input: string | Buffer = ''): Done {
  return runtime.run('bricks_shell', args, input);
}

test('-e: the values of an expression, what statements print, the daemon lives on', () => {
  const pid = runtime.pid();
  assert.deepEqual(shell(['-e', '1 + 1, "x", nil']), { status: 0, stdout: '2\tx\tnil\n', stderr: '' });
  assert.deepEqual(shell(['-e', 'x = 5 print(x) io.stderr:write("aside\\n")']), {
    status: 0,
    stdout: '5\n',
    stderr: 'aside\n',
  });
  assert.deepEqual(shell(['-e', '=x']), { status: 0, stdout: '5\n', stderr: '' });
  assert.deepEqual(shell(['-e', '']), { status: 0, stdout: '', stderr: '' });
  assert.ok(isRunning(pid));
});

test('-e: an error is shown on standard error, with its traceback, and is status 1', () => {
  const failed = shell(['-e', 'print("before") error("bad")']);
  assert.deepEqual([failed.status, failed.stdout], [1, 'before\n']);
  assert.match(failed.stderr, /^bricks-shell: prompt:1: bad\nstack traceback:\n/);
  assert.deepEqual(shell(['-e', 'x = = 1']), {
    status: 1,
    stdout: '',
    stderr: "bricks-shell: prompt:1: unexpected symbol near '='\n",
  });
  assert.deepEqual(shell(['-e', 'for i = 1, 2 do']), {
    status: 1,
    stdout: '',
    stderr: 'bricks-shell: the code is not complete: something that it opens is not closed\n',
  });
});

test('os.exit() is the exit status of the shell, and nothing to the daemon', () => {
  const pid = runtime.pid();
  assert.deepEqual(shell(['-e', 'print("out") os.exit(5) print("never")']), { status: 5, stdout: 'out\n', stderr: '' });
  assert.equal(shell(['-e', 'os.exit(true)']).status, 0);
  assert.equal(shell(['-e', 'os.exit(false)']).status, 1);
  assert.equal(shell([], 'os.exit(5)').status, 5);
  assert.ok(isRunning(pid));
});

test('standard input is a script: whole, with its own name, of any bytes', () => {
  assert.deepEqual(shell([], '#!/usr/bin/env bricks-shell\nfor i = 1, 2 do\n  print(i)\nend\n'), {
    status: 0,
    stdout: '1\n2\n',
    stderr: '',
  });
  assert.match(shell([], '\n\nerror("bad")').stderr, /^bricks-shell: stdin:3: bad\n/);
  assert.equal(shell([], '').status, 0);
  const bytes = Buffer.concat([Buffer.from('print(#"'), Buffer.from([0xff, 0x80, 0xc3]), Buffer.from('")')]);
  assert.equal(shell([], bytes).stdout, '3\n');
});

test('a script larger than a request is one line that says what to do', () => {
  const size = 2 ** 21;
  const done = shell([], `--${'x'.repeat(size - 3)}\n`);
  assert.equal(done.status, 1);
  assert.match(
    done.stderr,
    /^bricks-shell: the chunk has 2097152 bytes, a request may have \d+; put it into a file and run dofile\("FILE"\)\n$/,
  );
});

test('--json: each result is a line of JSON on standard output; what is printed goes to standard error', () => {
  const done = shell([
    '--json',
    '-e',
    'print("aside") return 1, "two\\nlines", { a = { 1, 2.5, "x" }, b = true }, nil, {}',
  ]);
  assert.deepEqual([done.status, done.stderr], [0, 'aside\n']);
  const lines = done.stdout.split('\n');
  assert.equal(lines.pop(), '');
  const values = lines.map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(values.slice(0, 4), [1, 'two\nlines', { a: [1, 2.5, 'x'], b: true }, null]);
  assert.equal(Object.keys(values[4] as object).length, 0);
  assert.deepEqual(shell(['-j', '-e', 'x = 1']), { status: 0, stdout: '', stderr: '' });
  const failed = shell(['-j', '-e', 'error("bad")']);
  assert.deepEqual([failed.status, failed.stdout], [1, '']);
  assert.equal(JSON.parse(shell(['-j'], 'return "from standard input"').stdout), 'from standard input');
});

test('--json: what cannot be said in JSON is still a line of JSON', () => {
  const code = `local t = {} t.self = t
    return 0/0, 1/0, print, t, "\\255\\254", 2^53, "\\0\\1\\127", setmetatable({}, { __index = error })`;
  const done = shell(['-j', '-e', code]);
  assert.deepEqual([done.status, done.stderr], [0, '']);
  const lines = done.stdout.trimEnd().split('\n');
  assert.equal(lines.length, 8);
  const values = lines.map((line) => JSON.parse(line) as unknown);
  assert.equal(values[5], 2 ** 53);
  assert.equal(values[6], '\0\x01\x7f');
});

test('--json: the counters of the engines', () => {
  const script = `
    pe = PktEngine.new("json")
    pe:link(Brick.new("LoadBalancer", 2):connect_input("pcap:${demoCapture}"):connect_output("null:", "j{0"))
    pe:start() pe:wait()`;
  assert.equal(shell([], script).status, 0);
  const done = shell(['-j', '-e', 'BRICKS.stats()']);
  const { json } = JSON.parse(done.stdout) as {
    json: { rx_packets: number; tx_packets: number; dropped: number; ports: unknown[] };
  };
  assert.equal(json.rx_packets, 458);
  assert.equal(json.tx_packets + json.dropped, 458);
  assert.equal(json.ports.length, 3);
  assert.equal(shell(['-e', 'PktEngine.retrieve("json"):stop():delete()']).status, 0);
});

test('SIGINT ends the chunk, and the shell with 130; the daemon is not touched', async (t) => {
  for (const [args, input] of [
    [['-e', 'io.write("runs") while true do pcall(function() while true do end end) end'], 'ignore'],
    [[], 'pipe'],
  ] as const) {
    const program = runtime.spawn('bricks_shell', args, { stdio: [input, 'pipe', 'pipe'] });
    t.after(() => program.child.kill('SIGKILL'));
    program.child.stdin?.end('io.write("runs") while true do pcall(BRICKS.sleep, 1000) end');
    await program.until(/runs/);
    program.child.kill('SIGINT');
    assert.deepEqual(await program.ended(), { code: 130, signal: null });
    assert.match(program.output(), /^runsinterrupted\n$/);
  }
  assert.equal(shell(['-e', '"fine"']).stdout, 'fine\n');
});

test('a shell that is killed takes its chunk with it', async (t) => {
  const program = runtime.spawn('bricks_shell', [
    '-e',
    'while true do beats = (beats or 0) + 1 BRICKS.sleep(0.005) end',
  ]);
  const client = await runtime.client(t);
  await until('the chunk to run', async () => Number(await client.value('beats or 0')) > 3);
  program.child.kill('SIGKILL');
  const hasStopped = '(function() local before = beats BRICKS.sleep(0.1) return beats == before end)()';
  await until('the chunk to end', async () => (await client.value(hasStopped)) === 'true');
});

test('a reader of our output that goes away ends the chunk, however endless, and not the daemon', async (t) => {
  const code = 'while true do pcall(function() while true do print("x") end end) end';
  const args = commandOf('bricks_shell', ['-e', code]);
  const program = start(t, 'bash', ['-c', '"$@" | head -n 1', 'bash', ...args], { env: runtime.env });
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  assert.equal(program.stdout(), 'x\n');
  const client = await runtime.client(t);
  await until('the shell to have gone', async () => {
    const { snapshot } = (await client.request('stats')) as unknown as { snapshot: { clients: number } };
    return snapshot.clients === 1;
  });
});

test('large results arrive whole, through a slow reader too', async (t) => {
  const line = '"$@" | (sleep 0.3; cat) | tail -c 22';
  const args = commandOf('bricks_shell', ['-e', 'for i = 1, 300000 do print(i) end return "the end"']);
  const program = start(t, 'bash', ['-c', line, 'bash', ...args], { env: runtime.env });
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  assert.match(program.stdout(), /299999\n300000\nthe end\n$/);
});

test('bricks -s is bricks-shell', () => {
  assert.deepEqual(runtime.run('bricks', ['-s', '-e', '6 * 7']), { status: 0, stdout: '42\n', stderr: '' });
  assert.deepEqual(runtime.run('bricks', ['--shell'], 'print(6 * 7)'), { status: 0, stdout: '42\n', stderr: '' });
});

test('wrong usage, and no daemon', (t) => {
  assert.deepEqual(shell(['--nope']), {
    status: 2,
    stdout: '',
    stderr: "bricks-shell: unknown option '--nope'; try bricks-shell --help\n",
  });
  const alone = new Runtime(t);
  for (const args of [['-e', '1'], [], ['--json']]) {
    const done = alone.run('bricks_shell', args);
    assert.deepEqual([done.status, done.stdout], [1, '']);
    assert.match(
      done.stderr,
      /^bricks-shell: no daemon answers at \S+; start one with bricks-server -f script\.lua\n$/,
    );
  }
});

test('BRICKS.shutdown() ends the daemon, and the shell with success', async (t) => {
  const own = new Runtime(t);
  const pid = own.startDaemon();
  assert.deepEqual(own.run('bricks_shell', ['-e', 'BRICKS.shutdown() print("never")']), {
    status: 0,
    stdout: 'Goodbye!\n',
    stderr: '',
  });
  await until('the process to end', () => !isRunning(pid));
  const running = new Runtime(t);
  await running.kill('SIGKILL', running.startDaemon());
  const other = new Runtime(t);
  const next = other.startDaemon();
  const waiting = other.spawn('bricks_shell', ['-e', 'io.write("runs") BRICKS.sleep(1000)']);
  await waiting.until(/runs/);
  await other.kill('SIGKILL', next);
  assert.deepEqual(await waiting.ended(), { code: 1, signal: null });
  assert.match(waiting.output(), /^runsbricks-shell: the daemon has gone: .*; its log may say why\n$/);
});
