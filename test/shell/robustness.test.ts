// What once ended the daemon, kept it from ending, or left somebody waiting: requests, files in the way, signals.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Fields, frameOf } from '../support/control_wire.ts';
import { isRunning, Runtime } from '../support/daemon.ts';
import { until } from '../support/programs.ts';

test('names of a hundred thousand letters are no completions, and cost nobody the daemon', async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon();
  const client = await runtime.client(t);
  await client.evaluate('for i = 1, 200 do _G["zz" .. i .. ("a"):rep(100000)] = 1 end zz_short = 1');
  const { matches } = await client.request('complete', { line: 'zz' });
  assert.deepEqual(matches, ['zz_short']);
  const deep = await client.request('complete', { line: 'a.'.repeat(2000) });
  assert.deepEqual(deep.matches, []);
  assert.equal(await client.value('1 + 1'), '2');
  assert.equal(runtime.pid(), pid);
});

/** Sends a client's hello and requests in one piece; the replies, once all have come. */
async function askAtOnce(t: TestContext, runtime: Runtime, requests: readonly Fields[]): Promise<readonly Fields[]> {
  const client = runtime.silentClient(t);
  const hello = { type: 'hello', protocol: 1, program: 'test', version: '0', pid: process.pid };
  client.socket.write(Buffer.concat([hello, ...requests].map(frameOf)));
  const replies = (): Fields[] => client.messages.filter(({ type }) => type === 'reply');
  await until(`${requests.length} replies`, () => replies().length === requests.length);
  return replies();
}

test('of completions asked for at once the last one is worked out', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const requests = ['pri', 'prin', 'print'].map((line, id) => ({ type: 'complete', id, line }));
  const replies = await askAtOnce(t, runtime, requests);
  assert.deepEqual(
    replies.map(({ matches }) => matches),
    [[], [], ['print']],
  );
});

test('an interruption ends what was asked for before it, also where that has not begun', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const evaluation = { type: 'evaluate', mode: 'line', name: 'prompt', format: 'text' };
  const replies = await askAtOnce(t, runtime, [
    { ...evaluation, id: 1, code: Buffer.from('while true do end') },
    { ...evaluation, id: 2, code: Buffer.from('never = true') },
    { type: 'interrupt', id: 3 },
    { ...evaluation, id: 4, code: Buffer.from('never') },
  ]);
  const evaluations = replies.filter(({ to }) => to === 'evaluate').map(({ id, evaluation: how }) => [id, how]);
  assert.deepEqual(evaluations, [
    [1, { kind: 'interrupted' }],
    [2, { kind: 'interrupted' }],
    [4, { kind: 'done', values: [{ text: 'nil', isObject: false }] }],
  ]);
});

test('a log that cannot be opened anew goes on where it is', async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon();
  const file = join(runtime.folder, 'bricks-server.log');
  assert.equal(statSync(file).mode & 0o777, 0o640);
  renameSync(file, `${file}.1`);
  mkdirSync(file);
  process.kill(pid, 'SIGHUP');
  await until('a line about it', () => readFileSync(`${file}.1`, 'utf8').includes('cannot write the log'));
  renameSync(file, `${file}.folder`);
  process.kill(pid, 'SIGHUP');
  await until('the new log', () => existsSync(file) && readFileSync(file, 'utf8').includes('opened anew'));
  assert.equal(statSync(file).mode & 0o777, 0o640, 'no more may read it than before');
  await runtime.kill('SIGTERM', pid);
});

test('what goes wrong at the end keeps nothing else from ending', async (t) => {
  const runtime = new Runtime(t);
  mkdirSync(join(runtime.folder, 'status.json'));
  const pid = runtime.startDaemon();
  await runtime.kill('SIGTERM', pid);
  assert.deepEqual(runtime.files(), ['bricks-server.log', 'status.json']);
  assert.match(runtime.logText(), /at the end: .*status\.json/);
});

test('what the startup script prints is shown by the starting command, and is in the log', (t) => {
  const runtime = new Runtime(t);
  const script = runtime.script('print("one") io.stderr:write("two\\n")');
  assert.deepEqual(runtime.run('bricks_server', ['-f', script]), { status: 0, stdout: 'one\n', stderr: 'two\n' });
  assert.match(runtime.logText(), /^one\ntwo$/m);
});

test('a signal to the starting command ends the daemon that it starts', async (t) => {
  const runtime = new Runtime(t);
  const script = runtime.script('print("begun") while true do end');
  const program = runtime.spawn('bricks_server', ['-f', script]);
  await program.until(/begun/);
  const pid = runtime.pid();
  program.child.kill('SIGINT');
  assert.equal((await program.ended()).code, 1);
  assert.match(program.output(), /^bricks-server: the daemon has ended: SIGTERM$/m);
  assert.ok(!isRunning(pid));
});

test('bricks-shell ends at a signal while it reads a script', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  for (const [signal, status] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const shell = runtime.spawn('bricks_shell', [], { stdio: ['pipe', 'pipe', 'pipe'] });
    const client = await runtime.client(t);
    await until('it to be there', async () => {
      const { snapshot } = (await client.request('stats')) as unknown as { snapshot: { clients: number } };
      return snapshot.clients === 2;
    });
    client.socket.destroy();
    shell.child.kill(signal);
    // Before it has begun to read, the signal may end it by itself: to a shell that is the same status.
    const ended = await shell.ended();
    assert.ok(ended.code === status || ended.signal === signal, JSON.stringify(ended));
  }
});

test('several may ask for the end at once', async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon();
  const clients = [runtime.spawn('bricks_kill_server'), runtime.spawn('bricks_kill_server')];
  const ends = await Promise.all(clients.map((client) => client.ended()));
  assert.ok(!isRunning(pid));
  // One may have come too late to find it: it says that there is none.
  assert.ok(ends.some(({ code }) => code === 0));
  for (const [i, { code }] of ends.entries()) {
    if (code !== 0) assert.match(clients[i]?.output() ?? '', /there is none to end/);
  }
});

test('options are not lost without a word', (t) => {
  const runtime = new Runtime(t);
  const cases: [string, string[], RegExp][] = [
    [
      'bricks_shell',
      ['-e', '1', '-e', '2'],
      /^bricks-shell: option '--execute' is given twice; try bricks-shell --help\n$/,
    ],
    ['bricks_shell', ['-F', 'info', '-e', '1'], /^bricks-shell: follow-log shows the log and runs no code: .*\n$/],
    ['bricks_shell', ['-F', 'loud'], /^bricks-shell: follow-log: "loud" is none of trace, .*\n$/],
  ];
  for (const [program, args, text] of cases) {
    const { status, stdout, stderr } = runtime.run(program, args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, text);
  }
});

test('bricks-shell --follow-log shows the log as it grows', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const follower = runtime.spawn('bricks_shell', ['--follow-log', 'warn']);
  const client = await runtime.client(t);
  await until('a line', async () => {
    await client.evaluate('BRICKS.log("info", "quiet") BRICKS.log("error", "loud")');
    return follower.output() !== '';
  });
  assert.match(follower.output(), /^\d{4}-\d\d-\d\dT[\d:.]+Z error loud\n/);
  assert.doesNotMatch(follower.output(), /quiet/);
  assert.deepEqual(await follower.interrupt(), { code: 0, signal: null });
});

test('a subscription that would overrun the timer is refused', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const client = await runtime.client(t);
  client.send({ type: 'subscribe', id: 1, statsMs: 3e9 });
  await until('the goodbye', () =>
    client.messages.some(({ type, reason }) => type === 'bye' && /statsMs/.test(`${reason}`)),
  );
});
