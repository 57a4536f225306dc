// bricks-shell on a pseudo-terminal: the prompt on a daemon, as one types at it.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, Runtime, wholeFile } from '../support/daemon.ts';
import { demoCapture } from '../support/files.ts';
import { commandOf, until } from '../support/programs.ts';
import { keys, skipTerminal as skip, Terminal } from '../support/terminal.ts';

/** A daemon that all tests share which do not end theirs. */
const shared = new Runtime(wholeFile);
shared.startDaemon();

function attach(t: TestContext, runtime = shared, environment: NodeJS.ProcessEnv = {}, args = ''): Terminal {
  const [program, option = ''] = args.split(' ');
  const command = commandOf(program || 'bricks_shell', option === '' ? [] : [option]).join(' ');
  return new Terminal(t, command, { ...runtime.env, ...environment });
}

/** Ctrl-D, and the end with success. */
async function leave(terminal: Terminal): Promise<void> {
  terminal.type(keys.end);
  assert.deepEqual(await terminal.program.ended(), { code: 0, signal: null });
}

test('expressions, statements, continued chunks, errors, and Ctrl-D, which the daemon survives', {
  skip,
}, async (t) => {
  const terminal = attach(t);
  const pid = shared.pid();
  assert.match(await terminal.read('bricks> '), new RegExp(`^BRICKS Version \\S+, daemon ${pid}; `));
  assert.match(await terminal.line('1 + 1, nil, "x"'), /\n2\tnil\tx\n/);
  assert.match(await terminal.line('= 2^40'), /\n1099511627776\n/);
  await terminal.line('mine = 5');
  await terminal.line('for i = 1, 2 do', '>> ');
  await terminal.line('  print(i * mine)', '>> ');
  assert.match(await terminal.line('end'), /\n5\n10\n/);
  assert.match(await terminal.line('error("bad")'), /\nprompt:1: bad\nstack traceback:\n/);
  assert.match(await terminal.line('x = = 1'), /\nprompt:1: unexpected symbol near '='\n/);
  // Ctrl-C drops what was typed, a chunk that is not complete too.
  await terminal.line('function dropped()', '>> ');
  terminal.type('never');
  await terminal.read('never');
  terminal.type(keys.interrupt);
  await terminal.read('bricks> ');
  assert.match(await terminal.line('print("bare", dropped)'), /\nbare\tnil\n/);
  await leave(terminal);
  assert.ok(isRunning(pid));

  const again = attach(t);
  await again.read('bricks> ');
  assert.match(await again.line('mine'), /\n5\n/, 'the daemon has kept it');
  await leave(again);
});

test('Tab completes with what the daemon has', { skip }, async (t) => {
  const terminal = attach(t);
  await terminal.read('bricks> ');
  await terminal.line(
    `pe = PktEngine.new("tabs") balancer = Brick.new("LoadBalancer", 2):connect_input("pcap:${demoCapture}")`,
  );
  await terminal.line(
    'balancer:connect_output("tabs{0", "tabs{1") pe:link(balancer) pe:start() my_table = { field = "value" }',
  );
  const typed: [text: string, completed: string, rest: string, shows: string][] = [
    ['my_ta', 'ble', '.field', 'value'],
    ['my_table.fi', 'eld', '', 'value'],
    ['pe:show_', 'stats', '()', 'Packet count'],
    ['print(Brick.new("Dup', 'licator', '"))', 'Duplicator'],
    ['print("tabs}', '', '1")', 'tabs}1'],
    ['print(PktEngine.retrieve("ta', 'bs', '") == pe)', 'true'],
    ['BRICKS.print_st', 'atus', '()', 'BRICKS is online.'],
  ];
  for (const [text, completed, rest, shows] of typed) {
    await terminal.complete(text, completed);
    const shown = await terminal.line(rest);
    assert.ok(shown.includes(shows), `${text}: ${shown}`);
  }
  // Several: Tab twice lists them.
  await terminal.complete('balancer:connect_output("tabs{', '');
  await delay(100);
  terminal.type(keys.tab);
  for (const pipe of [0, 1]) await terminal.read(`tabs{${pipe}`);
  terminal.type(keys.interrupt);
  await terminal.read('bricks> ');
  await terminal.line('pe:stop() pe:delete()');
  await leave(terminal);
});

test('history: the arrow brings back lines of earlier sessions, from a file that only the user reads', {
  skip,
}, async (t) => {
  const file = join(shared.folder, 'history');
  const first = attach(t, shared, { BRICKS_HISTORY: file });
  await first.read('bricks> ');
  await first.line('"older"');
  await first.line('"newest"');
  await leave(first);
  assert.equal(readFileSync(file, 'utf8'), '"older"\n"newest"\n');
  assert.equal(statSync(file).mode & 0o777, 0o600);

  const second = attach(t, shared, { BRICKS_HISTORY: file });
  await second.read('bricks> ');
  second.type(keys.up);
  await second.read('"newest"');
  second.type(keys.up);
  await second.read('"older"');
  assert.match(await second.line(''), /\nolder\n/);
  await leave(second);
  assert.equal(readFileSync(file, 'utf8'), '"older"\n"newest"\n"older"\n');
});

test('a history that cannot be read or written is none; an empty name means none; HOME has it otherwise', {
  skip,
}, async (t) => {
  const blocked = attach(t, shared, { BRICKS_HISTORY: '/proc/nope/history' });
  await blocked.read('bricks> ');
  assert.match(await blocked.line('6 * 7'), /\n42\n/);
  await leave(blocked);
  const home = join(shared.folder, 'home');
  // As HOME need not be there either.
  const nowhere = attach(t, shared, { HOME: home });
  await nowhere.read('bricks> ');
  await nowhere.line('1');
  await leave(nowhere);
  const { BRICKS_HISTORY: _, ...env } = shared.env;
  const file = join(shared.folder, '.bricks_history');
  writeFileSync(file, '"from home"\n');
  const command = commandOf('bricks_shell').join(' ');
  const terminal = new Terminal(t, `env -u BRICKS_HISTORY ${command}`, { ...env, HOME: shared.folder });
  await terminal.read('bricks> ');
  terminal.type(keys.up);
  await terminal.read('"from home"');
  assert.match(await terminal.line(''), /\nfrom home\n/);
  await leave(terminal);
});

test("Ctrl-C ends this shell's chunk, whatever it does, and no other shell's", { skip }, async (t) => {
  const [one, other] = [attach(t), attach(t)];
  await Promise.all([one.read('bricks> '), other.read('bricks> ')]);
  other.type(
    `print("other " .. "runs") while not enough do BRICKS.sleep(0.01) end print("other " .. "ended")${keys.enter}`,
  );
  await other.read('other runs');
  for (const code of [
    'while true do pcall(function() while true do end end) end',
    'while true do coroutine.wrap(function() while true do pcall(coroutine.yield) end end)() end',
    'while true do pcall(BRICKS.sleep, 1000) end',
    'while true do print("flood") end',
  ]) {
    one.type(`print("it " .. "runs") ${code}${keys.enter}`);
    await one.read('it runs');
    one.type(keys.interrupt);
    await one.read('interrupted');
    await one.read('bricks> ');
  }
  assert.match(await one.line('print("one " .. "goes on")'), /\none goes on\n/);
  await one.line('enough = true');
  await other.read('other ended');
  await other.read('bricks> ');
  await Promise.all([leave(one), leave(other)]);
});

test('the prompt outlives its daemon, and goes on with the next one', { skip }, async (t) => {
  const runtime = new Runtime(t);
  const first = runtime.startDaemon();
  const terminal = attach(t, runtime);
  await terminal.read('bricks> ');
  await terminal.line('kept = 1');
  await runtime.kill('SIGTERM', first);
  await terminal.read('bricks-shell: the daemon ends; waiting for a daemon, Ctrl-D leaves');
  await terminal.read('bricks> ');
  assert.match(await terminal.line('1 + 1'), /the daemon has gone: waiting for it to return/);
  const second = runtime.startDaemon();
  await terminal.read(`bricks-shell: attached to daemon ${second}`);
  await terminal.read('bricks> ');
  assert.match(await terminal.line('kept, 1 + 1'), /\nnil\t2\n/, 'another daemon');
  // One that is killed in the middle of a chunk.
  terminal.type(`print("it " .. "runs") BRICKS.sleep(1000)${keys.enter}`);
  await terminal.read('it runs');
  await runtime.kill('SIGKILL', second);
  await terminal.read('the daemon has gone: ');
  const third = runtime.startDaemon();
  await terminal.read(`attached to daemon ${third}`);
  // What was being typed when the daemon went is still there.
  terminal.type('6 *');
  await terminal.read('6 *');
  await delay(50);
  assert.equal(runtime.run('bricks_kill_server').status, 0);
  await terminal.read('waiting for a daemon');
  const fourth = runtime.startDaemon();
  await terminal.read(`attached to daemon ${fourth}`);
  await terminal.read('bricks> 6 *');
  assert.match(await terminal.line(' 7'), /\n42\n/);
  await leave(terminal);
});

test('leaving while there is no daemon', { skip }, async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon();
  const terminal = attach(t, runtime);
  await terminal.read('bricks> ');
  await runtime.kill('SIGKILL', pid);
  await terminal.read('waiting for a daemon');
  await leave(terminal);
});

test('bricks -s; exit, os.exit() and BRICKS.shutdown() leave', { skip }, async (t) => {
  const runtime = new Runtime(t);
  const pid = runtime.startDaemon();
  const exits: [typed: string, code: number][] = [
    ['exit', 0],
    ['os.exit(7)', 7],
    ['BRICKS.shutdown()', 0],
  ];
  for (const [typed, code] of exits) {
    assert.ok(isRunning(pid));
    const terminal = attach(t, runtime, {}, 'bricks -s');
    await terminal.read('bricks> ');
    terminal.type(typed + keys.enter);
    assert.deepEqual(await terminal.program.ended(), { code, signal: null }, typed);
  }
  await until('the daemon to end', () => !isRunning(pid));
});

test('when the terminal goes, the chunk does, and the daemon stays', { skip }, async (t) => {
  const terminal = attach(t);
  const client = await shared.client(t);
  await terminal.read('bricks> ');
  terminal.type(`while true do pulse = (pulse or 0) + 1 BRICKS.sleep(0.005) end${keys.enter}`);
  await until('the chunk to run', async () => Number(await client.value('pulse or 0')) > 3);
  terminal.program.child.kill('SIGKILL');
  const hasStopped = '(function() local before = pulse BRICKS.sleep(0.1) return pulse == before end)()';
  await until('the chunk to end', async () => (await client.value(hasStopped)) === 'true');
});

test('no daemon: one line, and no prompt', { skip }, async (t) => {
  const terminal = attach(t, new Runtime(t));
  assert.deepEqual(await terminal.program.ended(), { code: 1, signal: null });
  assert.match(
    terminal.program.output(),
    /^bricks-shell: no daemon answers at \S+; start one with bricks-server -f script\.lua\r\n$/,
  );
});
