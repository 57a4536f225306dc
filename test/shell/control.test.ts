// The control socket of a daemon, spoken to by a client of the tests' own that knows the wire and nothing else.
import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { version } from '../../package_info.ts';
import type { Snapshot } from '../../shell/protocol/messages.ts';
import type { Evaluated, Fields, WireClient } from '../support/control_wire.ts';
import { isRunning, Runtime, wholeFile } from '../support/daemon.ts';
import { demoCapture } from '../support/files.ts';
import { until } from '../support/programs.ts';

/** The daemon of all tests that do not end it. */
const shared = new Runtime(wholeFile);
shared.startDaemon();

function modeOf(file: string): string {
  return (statSync(file).mode & 0o777).toString(8);
}

function snapshotOf(reply: Fields): Snapshot {
  return reply.snapshot as unknown as Snapshot;
}

function done(...texts: readonly string[]): Evaluated {
  return { kind: 'done', values: texts.map((text) => ({ text, isObject: false })) };
}

test('nobody but its user may open the control socket, whatever the umask', (t) => {
  const runtime = new Runtime(t);
  const mask = process.umask(0);
  try {
    runtime.startDaemon();
  } finally {
    process.umask(mask);
  }
  assert.equal(modeOf(runtime.socket), '600');
  assert.equal(modeOf(`${runtime.folder}/bricks-server.pid`), '644');
  assert.equal(modeOf(`${runtime.folder}/status.json`), '644');
  assert.equal(modeOf(`${runtime.folder}/bricks-server.log`), '640', 'what scripts print is not for everybody');
});

test('hello: who the daemon is, and which protocol it speaks', async (t) => {
  const client = await shared.client(t);
  const pid = shared.pid();
  assert.deepEqual(client.messages, [{ type: 'hello', protocol: 1, program: 'bricks-server', version, pid }]);
  for (const protocol of [0, 2, 4711]) {
    const other = shared.silentClient(t);
    other.send({ type: 'hello', protocol, program: 'bricks-top', version: '9.8.7', pid: 1 });
    const reason = await other.dismissed();
    assert.equal(
      reason,
      `the daemon is of version ${version} and speaks protocol 1, bricks-top is of version 9.8.7 and speaks ${protocol}; ` +
        'use those of one version',
    );
    assert.ok(!other.messages.some(({ type }) => type === 'hello'));
  }
});

test('evaluate: expressions, statements, what is incomplete, errors, exits, and JSON', async (t) => {
  const client = await shared.client(t);
  assert.deepEqual(await client.evaluate('1 + 1, nil, "x"'), done('2', 'nil', 'x'));
  assert.deepEqual(await client.evaluate('= 2^53'), done('9007199254740992'));
  assert.deepEqual(await client.evaluate('x = 5'), done());
  assert.deepEqual(await client.evaluate('for i = 1, 2 do'), { kind: 'incomplete' });
  assert.deepEqual(await client.evaluate(''), done());
  const wrong = await client.evaluate('error("bad")');
  assert.deepEqual([wrong.kind, wrong.message], ['error', 'prompt:1: bad']);
  const chunk = await client.evaluate('\nerror("bad")', { mode: 'chunk', name: 'a.lua' });
  assert.deepEqual([chunk.kind, chunk.message], ['error', 'a.lua:2: bad']);
  // A chunk is whole: nothing more is asked for.
  assert.equal((await client.evaluate('for i = 1, 2 do', { mode: 'chunk' })).kind, 'error');
  // What looks like one to a prompt is no expression in a script.
  assert.equal((await client.evaluate('1 + 1', { mode: 'chunk' })).kind, 'error');
  assert.deepEqual(await client.evaluate('os.exit(259)'), { kind: 'exit', status: 3 });
  assert.deepEqual(await client.evaluate('return x', { mode: 'chunk' }), done('5'));
  const json = await client.evaluate('{ a = { 1, 2 }, b = "\\"" }, nil, 1.5', { format: 'json' });
  const values = (json.values ?? []).map(({ text }) => JSON.parse(text) as unknown);
  assert.deepEqual(values, [{ a: [1, 2], b: '"' }, null, 1.5]);
  assert.ok(isRunning(shared.pid()), 'os.exit() ends the chunk only');
});

test('code and output are bytes: what is no UTF-8 stays as it is', async (t) => {
  const client = await shared.client(t);
  const bytes = Buffer.from([0xff, 0xfe, 0x80, 0xc3, 0x28, 0xed, 0xa0, 0x80]);
  const code = Buffer.concat([Buffer.from('s = "'), bytes, Buffer.from('" print(s) io.stderr:write(s) return #s')]);
  assert.deepEqual(await client.evaluate(code), done('8'));
  assert.deepEqual(client.output(), Buffer.concat([bytes, Buffer.from('\n')]));
  assert.deepEqual(client.output('err'), bytes);
  assert.equal((await client.evaluate(Buffer.concat([bytes, Buffer.from(' = 1')]))).kind, 'error');
});

test('one Lua for all, an output for each', async (t) => {
  const client = await shared.client(t);
  const other = await shared.client(t);
  await client.evaluate('shared = "from one" print("one") function greet() print("hello " .. shared) end');
  assert.equal(await other.value('shared'), 'from one');
  await other.evaluate('greet() shared = "from the other"');
  assert.equal(await client.value('shared'), 'from the other');
  assert.equal(client.output().toString(), 'one\n');
  assert.equal(other.output().toString(), 'hello from one\n', 'it goes to whose chunk prints');
});

test('output comes before the reply, however much it is', async (t) => {
  const client = await shared.client(t);
  await client.evaluate('for i = 1, 20000 do print(i) end io.write(string.rep("x", 3000000))');
  const expected = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join('') + 'x'.repeat(3_000_000);
  assert.ok(client.output().equals(Buffer.from(expected)), `${client.output().length} bytes`);
});

test("a client's chunks run one after the other; its other requests, and other clients, do not wait", async (t) => {
  const client = await shared.client(t);
  const order: number[] = [];
  const slow = client.evaluate('while not go do BRICKS.sleep(0.01) end n = (n or 0) + 1 return n');
  const next = client.evaluate('n = n + 1 return n');
  for (const [i, evaluation] of [slow, next].entries()) void evaluation.then(() => order.push(i));
  assert.equal((await client.request('complete', { line: 'BRICKS.sl' })).word, 'BRICKS.sl');
  assert.equal(snapshotOf(await client.request('stats')).clients, 1);
  const other = await shared.client(t);
  assert.equal(await other.value('n'), 'nil');
  assert.deepEqual(order, []);
  await other.evaluate('go = true');
  assert.deepEqual(await slow, done('1'));
  assert.deepEqual(await next, done('2'));
  assert.deepEqual(order, [0, 1]);
});

test('interrupt ends the chunk of that client, whatever it does, and no other', async (t) => {
  const client = await shared.client(t);
  const other = await shared.client(t);
  const goesOn = other.evaluate('while not stop do BRICKS.sleep(0.001) end return "went on"');
  const witness = await shared.client(t);
  const stubborn = [
    'while true do end',
    'while true do pcall(function() while true do end end) end',
    'while true do xpcall(error, function() while true do end end) end',
    'local function f() while true do coroutine.yield() end end while true do coroutine.wrap(f)() end',
    'while true do coroutine.resume(coroutine.create(function() while true do pcall(error) end end)) end',
    'while true do pcall(BRICKS.sleep, 1000) end',
    // Nothing can be suspended in there: it runs for a second at most.
    'while true do pcall(string.gsub, "x", "x", function() while true do end end) end',
    'while true do local t = os.clock() repeat until os.clock() - t > 1000 end',
    'while true do io.popen("sleep 1000"):read("*a") end',
    `local pe = PktEngine.new("waits")
     pe:link(Brick.new("Dummy"):connect_input("null:?frames=60"):connect_output("null:")) pe:start() pe:wait()`,
  ];
  for (const code of stubborn) {
    const ending = client.evaluate(`running = true; ${code}`);
    await until('the chunk to run', async () => (await witness.value('running')) === 'true');
    await witness.evaluate('running = nil');
    await client.request('interrupt');
    assert.deepEqual(await ending, { kind: 'interrupted' }, code);
  }
  assert.equal(await client.value('"fine"'), 'fine');
  await client.evaluate('stop = true PktEngine.retrieve("waits"):stop():delete()');
  assert.deepEqual(await goesOn, done('went on'));
});

test('interrupt without a chunk is none, and does not meet the next one', async (t) => {
  const client = await shared.client(t);
  await client.request('interrupt');
  assert.equal(await client.value('1'), '1');
});

test('the chunk of a client that goes ends with it', async (t) => {
  const client = await shared.client(t);
  const other = await shared.client(t);
  void other
    .evaluate('while true do pcall(function() ticks = (ticks or 0) + 1 BRICKS.sleep(0.005) end) end')
    .catch(() => 0);
  await until('the chunk to run', async () => Number(await client.value('ticks or 0')) > 3);
  other.socket.destroy();
  await until('the chunk to end', async () => {
    return (
      (await client.value('(function() local before = ticks BRICKS.sleep(0.1) return ticks == before end)()')) ===
      'true'
    );
  });
  await until('one client', async () => snapshotOf(await client.request('stats')).clients === 1);
});

test('what a client that has gone still had waiting is not run', async (t) => {
  const client = await shared.client(t);
  const other = await shared.client(t);
  const waiting = ['hasBegun = true BRICKS.sleep(1000)', 'afterwards = true'].map((code) => other.evaluate(code));
  for (const evaluation of waiting) evaluation.catch(() => undefined);
  await until('the first to run', async () => (await client.value('hasBegun')) === 'true');
  other.socket.destroy();
  await until('one client', async () => snapshotOf(await client.request('stats')).clients === 1);
  assert.equal(await client.value('(function() BRICKS.sleep(0.05) return afterwards end)()'), 'nil');
});

test('output that a client does not read is cut, and it is told by how much', async (t) => {
  const client = await shared.client(t);
  const other = await shared.client(t);
  const size = 120_000_000;
  client.socket.pause();
  // Where a chunk cannot be suspended: twice as much as is kept for a client.
  const printing = `local text = ("x"):rep(${size / 2 - 1}); ("ab"):gsub(".", function() print(text) end)`;
  const evaluation = client.evaluate(`isPrinted = true ${printing}`);
  await until('it to be printed', async () => (await other.value('isPrinted')) === 'true');
  client.socket.resume();
  assert.deepEqual(await evaluation, done());
  const [, lost] =
    /^\.\.\. (\d+) bytes of output were lost: the client read too slowly\n$/.exec(client.output('err').toString()) ??
    [];
  assert.ok(Number(lost) > size / 4, `${lost} bytes were not kept for it`);
  assert.equal(client.output().length + Number(lost), size, 'every byte came, or was counted');
});

test('complete: globals, fields, methods, names of bricks, engines, ports and pipes inside strings, files', async (t) => {
  const client = await shared.client(t);
  await client.evaluate(`
    my_table = { first = 1, second = { third = 2 } }
    pe = PktEngine.new("engine0")
    lb = Brick.new("LoadBalancer", 2):connect_input("pcap:${demoCapture}"):connect_output("demo{0", "demo{1")
    pe:link(lb) pe:link(Brick.new("Dummy"):connect_input("typed}7"):connect_output("null:")) pe:start()`);
  const expected: [line: string, word: string, matches: readonly string[]][] = [
    ['my_t', 'my_t', ['my_table']],
    ['print(my_table.f', 'my_table.f', ['my_table.first']],
    ['x = my_table.second.', 'my_table.second.', ['my_table.second.third']],
    ['pe:show_', 'pe:show_', ['pe:show_stats']],
    ['BRICKS.set_dr', 'BRICKS.set_dr', ['BRICKS.set_driver']],
    ['Brick.new("Load', 'Load', ['LoadBalancer']],
    ['BRICKS.set_driver("pa', 'pa', ['packet']],
    ['BRICKS.set_driver("pc', 'pc', []],
    ["b = Brick.new('PcapW", 'PcapW', ['PcapWriter']],
    ['PktEngine.retrieve("eng', 'eng', ['engine0']],
    ['lb:connect_input("demo}', 'demo}', ['demo}0', 'demo}1']],
    ['lb:connect_output("demo{', 'demo{', ['demo{0', 'demo{1']],
    ['lb:connect_input("typ', 'typ', ['typed}7']],
    ['lb:connect_input("lo', 'lo', ['lo']],
    ['lb:connect_input("vet', 'vet', ['veth:']],
    ['dofile("scripts/startup-d', 'scripts/startup-d', ['scripts/startup-demo.lua']],
    ['lb:connect_input("pcap:test/fixtures/dem', 'pcap:test/fixtures/dem', ['pcap:test/fixtures/demo.pcap']],
    ['nothing_begins_so', 'nothing_begins_so', []],
    ['("a string with \\" in it" .. my_t', 'my_t', ['my_table']],
  ];
  for (const [line, word, matches] of expected) {
    const { id: _, ...reply } = await client.request('complete', { line });
    assert.deepEqual(reply, { type: 'reply', to: 'complete', word, matches }, line);
  }
  // Whatever is defined: nothing of the user's code runs.
  await client.evaluate('trap = setmetatable({}, { __index = function() trapped = true while true do end end })');
  assert.deepEqual((await client.request('complete', { line: 'trap.x.y' })).matches, []);
  assert.equal(await client.value('trapped'), 'nil');
});

test('stats: the daemon, its engines with counters and graphs, and who is connected', async (t) => {
  const client = await shared.client(t);
  await client.evaluate(`
    pe = PktEngine.new("e0", 64, 0)
    pe:link(Brick.new("LoadBalancer", 2):connect_input("pcap:${demoCapture}"):connect_output("null:", "p{0"), 32)
    pe:start() pe:wait()`);
  await shared.client(t);
  const snapshot = snapshotOf(await client.request('stats'));
  assert.deepEqual([snapshot.pid, snapshot.version, snapshot.clients], [shared.pid(), version, 2]);
  assert.ok(snapshot.startedMs <= snapshot.timeMs && snapshot.timeMs <= Date.now());
  const engine = snapshot.engines.find(({ stats }) => stats.engine === 'e0');
  assert.ok(engine !== undefined);
  assert.deepEqual([engine.batchPackets, engine.bufferSlots, engine.cpu], [32, 64, 0]);
  const { stats, graph } = engine;
  assert.deepEqual([stats.engine, stats.rxPackets, stats.inFlight], ['e0', 458, 0]);
  assert.deepEqual(graph.inputs, [{ port: `pcap:${demoCapture}`, brick: 0 }]);
  assert.deepEqual(graph.edges, []);
  assert.deepEqual(
    graph.outputs.map(({ brick, output }) => [brick, output]),
    [
      [0, 0],
      [0, 1],
    ],
  );
  assert.equal(graph.outputs.length + graph.inputs.length, stats.ports.length);
});

test('subscribe: snapshots until that is ended, and the log from a level on', async (t) => {
  const client = await shared.client(t);
  const snapshots = (): Snapshot[] => client.messages.filter(({ type }) => type === 'snapshot').map(snapshotOf);
  await client.request('subscribe', { statsMs: 100, logs: 'none' });
  await client.until('four snapshots', () => (snapshots().length >= 4 ? true : undefined));
  const times = snapshots().map(({ monotonicMs }) => monotonicMs);
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
    'the clock goes forward',
  );
  await client.request('subscribe', { statsMs: 0 });
  const count = snapshots().length;
  await client.evaluate('BRICKS.sleep(0.35)');
  assert.equal(snapshots().length, count, 'no more');

  const logs = (): Fields[] => client.messages.filter(({ type }) => type === 'log');
  await client.request('subscribe', { logs: 'debug' });
  const other = await shared.client(t, { program: 'visitor', pid: 4711 });
  const { level, text, timeMs } = await client.next('log');
  assert.deepEqual([level, text], ['debug', 'visitor (4711) has come'], 'whatever the level of the log file');
  assert.ok(typeof timeMs === 'number' && timeMs <= Date.now());
  assert.doesNotMatch(shared.logText(), /visitor/);
  await client.request('subscribe', { logs: 'info' });
  await other.leave();
  await until('the visitor to have gone', async () => snapshotOf(await client.request('stats')).clients === 1);
  assert.equal(logs().length, 1);
});

test('what is no message closes that connection, with the reason, and no other', async (t) => {
  const client = await shared.client(t);
  const greeting = { type: 'hello', protocol: 1, program: 'bad', version: '0', pid: 1 };
  const bad: [string, (client: WireClient) => void, RegExp][] = [
    ['HTTP', (to) => to.sendBytes('GET / HTTP/1.0\r\n\r\n'), /a frame of 1195725856 bytes: it must be 1 to 1048576/],
    ['an empty frame', (to) => to.sendBytes(Buffer.alloc(4)), /a frame of 0 bytes/],
    ['no hello', (to) => to.send({ type: 'stats', id: 1 }), /the first message is "stats", it must be "hello"/],
    ['a hello that lacks things', (to) => to.send({ type: 'hello' }), /a message "hello" has a wrong field "protocol"/],
    ['a second hello', (to) => [greeting, greeting].map((message) => to.send(message)), /a second "hello"/],
    ['an unknown type', (to) => [greeting, { type: 'exit' }].map((message) => to.send(message)), /unknown type "exit"/],
    [
      'an extension type',
      (to) => to.sendBytes(Buffer.from('00000006d6ff00000000', 'hex')),
      /format 0xd6, which is not plain data/,
    ],
    [
      'too many chunks at once',
      (to) => {
        to.send(greeting);
        const code = Buffer.from('BRICKS.sleep(1000)');
        for (let i = 0; i < 65; i++) to.ask('evaluate', { mode: 'line', code, name: 'x', format: 'text' });
      },
      /more than 64 evaluations at once/,
    ],
  ];
  for (const [what, act, reason] of bad) {
    const other = shared.silentClient(t);
    act(other);
    assert.match(await other.dismissed(), reason, what);
  }
  assert.equal(await client.value('1 + 1'), '2');
  await until('one client', async () => snapshotOf(await client.request('stats')).clients === 1);
  const reasons = shared.logText();
  assert.match(reasons, /a client that had not said hello has gone: a frame of 0 bytes/);
  assert.match(reasons, /bad \(1\) has gone: a second "hello"/);
});

test('shutdown: a reply, a goodbye to everybody, and nothing is left but the log', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const client = await runtime.client(t);
  const pid = runtime.pid();
  const other = await runtime.client(t);
  const running = other.evaluate('BRICKS.sleep(1000)').catch(() => undefined);
  await client.request('shutdown');
  for (const each of [client, other]) assert.equal(await each.dismissed(), 'the daemon ends');
  await running;
  await until('the process to end', () => !isRunning(pid));
  assert.deepEqual(runtime.files(), ['bricks-server.log']);
  assert.match(runtime.logText(), /ends: test \(\d+\) asked for it/);
});

test('BRICKS.shutdown() ends the daemon, also when its socket was removed', async (t) => {
  const runtime = new Runtime(t);
  runtime.startDaemon();
  const client = await runtime.client(t);
  const pid = runtime.pid();
  rmSync(runtime.socket);
  assert.deepEqual(await client.evaluate('print("before") BRICKS.shutdown() print("never")'), { kind: 'shutdown' });
  assert.equal(client.output().toString(), 'before\nGoodbye!\n');
  await until('the process to end', () => !isRunning(pid));
  assert.deepEqual(runtime.files(), ['bricks-server.log']);
});
