// Rules from outside: the program bricks-filter, and lines of JSON on the control socket, well formed and not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import type { ListedRule } from '../../bricks/filter/rule_text.ts';
import { filterOperations } from '../../shell/daemon/filter_operations.ts';
import { lineBytesMax } from '../../shell/protocol/lines.ts';
import { Runtime, wholeFile } from '../support/daemon.ts';
import { nodeArguments, projectFolder, until, waitMs } from '../support/programs.ts';

/** Engine e0 with one Filter, e1 with two below each other; none has an end. */
const script = `
e0 = PktEngine.new("e0")
f = Brick.new("Filter"):connect_input("null:?packets=10"):connect_output("null:", "null:")
e0:link(f) e0:start()
e1 = PktEngine.new("e1")
top = Brick.new("Filter"):connect_input("null:?packets=10"):connect_output("x{0")
top:link(Brick.new("Filter"):connect_input("x}0"):connect_output("null:"))
e1:link(top) e1:start()
`;
const runtime = new Runtime(wholeFile);
test.before(() => {
  runtime.startDaemon(['-f', runtime.script(script)]);
});

interface Answer {
  readonly id?: unknown;
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: string;
}

/** A connection of lines: what is written, and the answers so far. */
function openLines(t: TestContext): { write(bytes: string | Buffer): void; next(): Promise<Answer>; end(): void } {
  const socket = connect(runtime.socket);
  t.after(() => socket.destroy());
  const answers: string[] = [];
  createInterface({ input: socket }).on('line', (line) => answers.push(line));
  return {
    write: (bytes) => socket.write(bytes),
    next: async () => JSON.parse(await until('an answer', () => answers.shift())) as Answer,
    end: () => socket.end(),
  };
}

function filter(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return runtime.run('bricks_filter', args);
}

function listed(...args: string[]): ListedRule[] {
  const { status, stdout, stderr } = filter(...args, '--json', 'list');
  assert.equal(status, 0, stderr);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ListedRule);
}

test('bricks-filter adds, lists, removes and clears', () => {
  const added = filter(
    '-e',
    'e0',
    'add',
    'type=connection',
    'src=10.0.0.1',
    'dst=10.0.0.2',
    'proto=tcp',
    'sport=1024',
    'dport=80',
    'action=drop',
    'priority=-3',
    'duration_s=600',
  );
  assert.deepEqual({ ...added, stdout: '' }, { status: 0, stdout: '', stderr: '' });
  const id = Number(added.stdout);
  assert.ok(id >= 1);
  const [rule, ...others] = listed('-e', 'e0');
  assert.equal(others.length, 0);
  const { start = 0, ...rest } = rule ?? ({} as Partial<ListedRule>);
  assert.ok(Math.abs(start - Date.now() / 1000) < 60, 'it came into force when it was added');
  assert.deepEqual(rest, {
    id,
    type: 'connection',
    src: '10.0.0.1',
    dst: '10.0.0.2',
    proto: 'tcp',
    sport: 1024,
    dport: 80,
    action: 'drop',
    priority: -3,
    duration_s: 600,
    packets: 0,
    bytes: 0,
  });
  assert.match(
    filter('-e', 'e0', 'list').stdout,
    /^ID +TYPE +MATCH .*\n\d+ +connection +tcp 10\.0\.0\.1:1024 <-> 10\.0\.0\.2:80 +drop +-3 +0 +0 +20\S+Z to 20\S+Z\n$/,
  );
  assert.deepEqual(filter('-e', 'e0', 'remove', String(id)), { status: 0, stdout: '', stderr: '' });
  const gone = filter('-e', 'e0', 'remove', String(id));
  assert.equal(gone.status, 1);
  assert.equal(gone.stderr, `bricks-filter: rule ${id}: there is no such rule; it was removed, or has expired\n`);
  filter('-e', 'e0', 'add', 'type=mac', 'address=02:00:00:00:00:01', 'action=mirror', 'output=1');
  filter('-e', 'e0', 'add', 'type=flow', 'dst=2001:db8::/32', 'dport=53', 'action=output', 'output=1');
  assert.match(
    filter('-e', 'e0', 'list').stdout,
    /mac +02:00:00:00:00:01 +mirror 1.*\n.*flow +any any -> \[2001:db8::\/32\]:53 +output 1/,
  );
  assert.equal(filter('-e', 'e0', 'clear').stdout, '2 removed\n');
  assert.deepEqual(listed('-e', 'e0'), []);
});

// On Linux a device that has no room for anything.
for (const [program, ...args] of [
  ['bricks_filter', 'list', '-e', 'e0'],
  ['bricks_filter', '--help'],
  ['bricks_shell', '-e', 'print(1)'],
  ['bricks_shell', '-e', '1'],
  ['bricks_top', '--once'],
] as const) {
  test(`${program} ${args.join(' ')}: output that cannot be written is a failure`, () => {
    const full = openSync('/dev/full', 'w');
    try {
      const { status, stderr } = spawnSync(process.execPath, [...nodeArguments(`shell/${program}.ts`), ...args], {
        cwd: projectFolder,
        env: runtime.env,
        encoding: 'utf8',
        stdio: ['ignore', full, 'pipe'],
        timeout: waitMs,
      });
      assert.match(stderr, /^bricks-\w+: cannot write the output: ENOSPC: .*; make room, or write elsewhere\n$/);
      assert.equal(status, 1);
    } finally {
      closeSync(full);
    }
  });
}

test('which Filter is meant', () => {
  assert.match(
    filter('list').stderr,
    /^bricks-filter: Filter: there are several; say which; have: engine "e0" filter 0, .*\n$/,
  );
  assert.match(filter('-e', 'e1', 'list').stderr, /there are several/);
  assert.match(filter('-e', 'nine', 'list').stderr, /^bricks-filter: engine "nine": no such engine; have: e0, e1\n$/);
  assert.match(
    filter('-e', 'e1', '-n', '2', 'list').stderr,
    /^bricks-filter: Filter 2 of engine "e1": no such one; have: engine "e1" filter 0, engine "e1" filter 1\n$/,
  );
  assert.equal(filter('-e', 'e1', '-n', '1', 'add', 'type=ip', 'address=10.0.0.1', 'action=drop').status, 0);
  assert.equal(listed('-e', 'e1', '-n', '1').length, 1);
  assert.equal(listed('-e', 'e1', '-n', '0').length, 0);
  assert.equal(filter('-e', 'e1', '-n', '1', 'clear').stdout, '1 removed\n');
});

test('what is wrong is told in one line', () => {
  const wrong: readonly (readonly [number, RegExp, ...string[]])[] = [
    [2, /COMMAND is missing/],
    [2, /no command "ad"/, 'ad'],
    [2, /add: "src" is not FIELD=VALUE/, 'add', 'src'],
    [2, /add: src is given twice/, 'add', 'src=1', 'src=2'],
    [2, /remove: "x" is not the id of a rule/, 'remove', 'x'],
    [2, /list: unexpected argument 'x'/, 'list', 'x'],
    [2, /--filter: "x" is not a number/, '-n', 'x', 'list'],
    [
      1,
      /rule: src "10\.0\.0\.300": not an IP address; /,
      '-e',
      'e0',
      'add',
      'type=connection',
      'src=10.0.0.300',
      'action=drop',
    ],
    [
      1,
      /rule: output: there is no output 2; the last one is 1/,
      '-e',
      'e0',
      'add',
      'type=ip',
      'address=::1',
      'action=output',
      'output=2',
    ],
  ];
  for (const [status, text, ...args] of wrong) {
    const done = filter(...args);
    assert.equal(done.status, status, done.stderr);
    assert.match(done.stderr, text);
    assert.match(done.stderr, /^bricks-filter: [^\n]*\n$/);
    assert.equal(done.stdout, '');
  }
});

test('without a daemon it says so', (t) => {
  const nobody = new Runtime(t);
  assert.match(nobody.run('bricks_filter', ['list']).stderr, /^bricks-filter: no daemon answers at .*\n$/);
});

test('a daemon that has as many clients as it takes is told in one line', async (t) => {
  const full = new Runtime(t);
  full.startDaemon();
  const others = Array.from({ length: 256 }, () => connect(full.socket));
  t.after(() => {
    for (const other of others) other.destroy();
  });
  // Once a line is answered, all before it have come.
  for (const other of others) {
    other.write('{}\n');
    await once(other, 'data');
  }
  const { status, stderr } = full.run('bricks_filter', ['list']);
  assert.equal(status, 1);
  assert.match(stderr, /^bricks-filter: the daemon at .* cannot be talked to: it takes no more clients .*\n$/);
});

test('lines of JSON: requests in pieces and in heaps, answers in their order', async (t) => {
  const lines = openLines(t);
  lines.write('{"id":1,"op":"filter.add","engine":"e0","ru');
  lines.write(
    'le":{"type":"ip","address":"10.0.0.9","action":"drop"}}\r\n\n{"id":"two","op":"filter.list","engine":"e0"}\n',
  );
  const { id, ok, result } = await lines.next();
  assert.deepEqual([id, ok], [1, true]);
  const second = await lines.next();
  assert.equal(second.id, 'two');
  assert.deepEqual(
    (second.result as ListedRule[]).map((rule) => rule.id),
    [result],
  );
  const rules = Array.from({ length: 3000 }, (_, i) => ({
    type: 'ip',
    address: `10.1.${i >> 8}.${i & 255}`,
    action: 'drop',
  }));
  lines.write(`${JSON.stringify({ op: 'filter.add', engine: 'e0', rule: rules })}\n`);
  const added = await lines.next();
  assert.ok(!('id' in added));
  assert.equal(new Set(added.result as number[]).size, 3000);
  lines.write(`${JSON.stringify({ op: 'filter.remove', engine: 'e0', rule: added.result })}\n`);
  assert.equal((await lines.next()).result, 3000);
  lines.write(`${JSON.stringify({ op: 'filter.remove', engine: 'e0', rule: result })}\n`.repeat(2));
  assert.deepEqual([(await lines.next()).result, (await lines.next()).result], [true, false]);
  lines.write('{"op":"filter.clear","engine":"e0"}\n');
  assert.equal((await lines.next()).result, 0);
});

test('a bad line is answered by one line, and disturbs nothing', async (t) => {
  const lines = openLines(t);
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  const bad: readonly (readonly [string | Buffer, RegExp])[] = [
    ['{nonsense', /^line: not an object of JSON; /],
    ['[1,2]', /^line: not an object of JSON/],
    ['null', /^line: not an object of JSON/],
    [Buffer.from([0xff, 0xfe, 0x00, 0x01]), /^line: not an object of JSON/],
    ['{}', /^op: there is no such operation; have: filter\.add, /],
    ['{"op":"toString"}', /^op "toString": there is no such operation/],
    ['{"op":7}', /^op 7: there is no such operation/],
    ['{"op":"filter.add","engine":7}', /^engine: not a name; /],
    ['{"op":"filter.add","engine":"e0"}', /^rule: not a rule; /],
    [
      '{"op":"filter.add","engine":"e0","rule":{"type":"ip","__proto__":1}}',
      /^rule: __proto__ 1: type "ip" has no such field/,
    ],
    [
      '{"op":"filter.add","engine":"e0","rule":[{"type":"ip","address":"1.2.3.4","action":"drop"},{"type":"x"}]}',
      /^rule 2: type "x"/,
    ],
    ['{"op":"filter.remove","engine":"e0","rule":-1}', /^rule -1: not the id of a rule; /],
    ['{"op":"filter.list","engine":"e0","what":1}', /^request: "what": there is no such field/],
    [`{"op":"filter.list","pad":"${'x'.repeat(lineBytesMax)}"}`, /^line: longer than 1048576 bytes; /],
    [`{"id":${deep},"op":"filter.list","engine":"e0"}`, /^line: nested too deeply; /],
    [`{"op":${deep}}`, /^op an object that is no JSON, or too deep: there is no such operation; /],
    [`{"op":"filter.remove","engine":"e0","rule":${deep}}`, /^rule /],
    [
      `{"op":"filter.remove","engine":"e0","rule":{"deep":${deep}}}`,
      /^rule an object .* too deep: not the id of a rule; /,
    ],
    [
      `{"op":"filter.remove","engine":"e0","rule":"${'x'.repeat(100_000)}"}`,
      /^rule "x{119}\.\.\.: not the id of a rule; /,
    ],
  ];
  lines.write('{"op":"filter.clear","engine":"e0"}\n');
  assert.equal((await lines.next()).ok, true);
  for (const [line, error] of bad) {
    lines.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
    const answer = await lines.next();
    assert.equal(answer.ok, false);
    assert.match(answer.error ?? '', error);
    assert.doesNotMatch(answer.error ?? '', /\n/);
  }
  lines.write('{"op":"filter.list","engine":"e0"}\n');
  assert.deepEqual(await lines.next(), { ok: true, result: [] });
});

test('a client that does not read its answers is not read from, and others are served', async (t) => {
  const rules = Array.from({ length: 5000 }, (_, i) => ({
    type: 'ip',
    address: `10.1.${i >> 8}.${i & 255}`,
    action: 'drop',
  }));
  const good = openLines(t);
  good.write(`${JSON.stringify({ op: 'filter.add', engine: 'e0', rule: rules })}\n`);
  assert.equal((await good.next()).ok, true);
  const greedy = connect(runtime.socket);
  t.after(() => greedy.destroy());
  greedy.pause();
  // Each answer has half a megabyte: all of them would be gigabytes.
  greedy.write('{"op":"filter.list","engine":"e0"}\n'.repeat(5000));
  for (let i = 0; i < 20; i++) {
    good.write('{"id":5,"op":"filter.remove","engine":"e0","rule":1}\n');
    assert.equal((await good.next()).id, 5);
  }
  const resident = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${runtime.pid()}/status`, 'utf8'));
  assert.ok(Number(resident?.[1]) < 1_000_000, `the daemon holds ${resident?.[1]} kB`);
  greedy.destroy();
  assert.equal(listed('-e', 'e0').length, 5000, 'read in parts, the last of which is empty');
  good.write('{"op":"filter.list","engine":"e0","after":1,"max":2}\n');
  assert.equal(((await good.next()).result as ListedRule[]).length, 2);
  good.write('{"op":"filter.clear","engine":"e0"}\n');
  assert.equal((await good.next()).result, 5000);
});

test('a client of lines is counted as one, and told when the daemon ends', async (t) => {
  const own = new Runtime(t);
  own.startDaemon(['-f', own.script(script)]);
  const socket = connect(own.socket);
  t.after(() => socket.destroy());
  const answers: string[] = [];
  createInterface({ input: socket }).on('line', (line) => answers.push(line));
  socket.write('{"op":"filter.list","engine":"e0"}\n');
  await until('an answer', () => answers.length === 1);
  assert.equal(own.run('bricks_kill_server').status, 0);
  await until('the end', () => socket.readableEnded);
  assert.match(answers[1] ?? '', /^\{"ok":false,"error":"connection: closed; .*"\}$/);
});

test('JSON.md names every operation, and its examples are what happens', async (t) => {
  const text = readFileSync(join(projectFolder, 'shell/daemon/JSON.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `(filter\.\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(documented, Object.keys(filterOperations));
  const exchanges = /```json\n(.*?)```/s.exec(text)?.[1]?.trim().split('\n') ?? [];
  assert.equal(exchanges.length, 6);
  const lines = openLines(t);
  let id = 0;
  for (let i = 0; i < exchanges.length; i += 2) {
    // The id is that of the moment.
    lines.write(`${exchanges[i]?.replace('"rule":7', `"rule":${id}`)}\n`);
    const expected = JSON.parse(exchanges[i + 1] ?? '') as Answer;
    const answer = await lines.next();
    if (typeof expected.result === 'number') id = Number(answer.result);
    assert.deepEqual(answer, typeof expected.result === 'number' ? { ...expected, result: id } : expected);
  }
});
