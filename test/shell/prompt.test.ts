// The prompt, typed at on a pseudo-terminal.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder } from '../support/files.ts';
import { commandOf, until } from '../support/programs.ts';
import { skipTerminal as skip, Terminal } from '../support/terminal.ts';

const bricks = commandOf('bricks').join(' ');

test('expressions, statements, continued chunks, errors, interruption and the end', { skip }, async (t) => {
  const terminal = new Terminal(t, bricks);
  assert.match(await terminal.read('bricks> '), /BRICKS Version/);
  assert.match(await terminal.line('1 + 1, nil, "x"'), /\n2\tnil\tx\n/);
  assert.match(await terminal.line('= 2^40'), /\n1099511627776\n/);
  await terminal.line('x = 5');
  await terminal.line('for i = 1, 2 do', '>> ');
  await terminal.line('print(i * x)', '>> ');
  assert.match(await terminal.line('end'), /\n5\n10\n/);
  assert.match(await terminal.line('error("bad")'), /\nprompt:1: bad\nstack traceback:\n/);
  assert.match(await terminal.line('x = = 1'), /\nprompt:1: unexpected symbol near '='\n/);
  await terminal.line('pe = PktEngine.new("e0")');
  assert.match(await terminal.line('pe'), /\nPktEngine:\n\tName: e0\n/);
  const stats = await terminal.line('pe:show_stats()');
  assert.match(stats, /Packet count: 0\n/);
  assert.doesNotMatch(stats, /Name: e0/);

  await terminal.complete('BRICKS.print_', 'status');
  assert.match(await terminal.line('()'), /BRICKS is online\./);

  terminal.type('print("loops") while true do pcall(function() while true do end end) end\r');
  await terminal.read('loops\r\n');
  terminal.type('\x03');
  await terminal.read('interrupted');
  await terminal.read('bricks> ');
  assert.match(await terminal.line('print("still here")'), /\nstill here\n/);

  terminal.type('\x04');
  assert.deepEqual(await terminal.program.ended(), { code: 0, signal: null });
  assert.match(terminal.program.output(), /ENGINE STATISTICS/);
});

test('a script comes before the prompt; os.exit() leaves with its status', { skip }, async (t) => {
  const terminal = new Terminal(t, `${bricks} -f bricks/load_balancer/example.lua`);
  assert.match(await terminal.read('bricks> '), /output 3: \d+ packets/);
  terminal.type('os.exit(7)\r');
  assert.deepEqual(await terminal.program.ended(), { code: 7, signal: null });
});

test('BRICKS.shutdown() says goodbye and ends the program', { skip }, async (t) => {
  const terminal = new Terminal(t, bricks);
  await terminal.read('bricks> ');
  terminal.type('BRICKS.shutdown()\r');
  assert.deepEqual(await terminal.program.ended(), { code: 0, signal: null });
  assert.match(terminal.program.output(), /Goodbye!/);
});

const engineScript = (folder: string, rest: string): string => {
  const file = join(folder, 'script.lua');
  writeFileSync(
    file,
    `pe = PktEngine.new("e0") pe:link(Brick.new("PcapWriter"):connect_input("null:?packets=100"):connect_output("${folder}/out.pcap"))
     pe:start() pe:wait() print("engine runs") ${rest}`,
  );
  return file;
};

test('Ctrl-C during a script stops the engines and shows statistics', { skip }, async (t) => {
  const file = engineScript(makeFolder(t), 'BRICKS.sleep(1000)');
  const terminal = new Terminal(t, `${bricks} -f ${file}`);
  await terminal.read('engine runs');
  terminal.type('\x03');
  assert.deepEqual(await terminal.program.ended(), { code: 0, signal: null });
  assert.match(terminal.program.output(), /ENGINE STATISTICS/);
});

test('Ctrl-C twice at an empty prompt leaves', { skip }, async (t) => {
  const terminal = new Terminal(t, bricks);
  await terminal.read('bricks> ');
  terminal.type('\x03');
  await terminal.read('leaves)');
  // The line editor draws its prompt more than once here.
  terminal.type('print(6 * 7)\r');
  await terminal.read('42\r\n');
  await terminal.read('bricks> ');
  terminal.type('\x03');
  await terminal.read('leaves)');
  terminal.type('\x03');
  assert.deepEqual(await terminal.program.ended(), { code: 0, signal: null });
});

test('in the background of a terminal it runs, without a prompt', { skip }, async (t) => {
  const file = engineScript(makeFolder(t), 'BRICKS.sleep(0.3) print("goes on")');
  const line = `set -m; ${bricks} -f ${file} & wait %1; echo status $?`;
  const terminal = new Terminal(t, `bash -c '${line}'`);
  await terminal.read('goes on');
  await terminal.read('status 0');
});

test('when the terminal goes, engines are stopped', { skip }, async (t) => {
  const folder = makeFolder(t);
  const terminal = new Terminal(t, `${bricks} -f ${engineScript(folder, '')}`);
  await terminal.read('bricks> ');
  terminal.program.child.kill('SIGKILL');
  await until('the program to end', () => spawnSync('pgrep', ['-f', `${folder}/script.lua`]).status === 1);
  assert.equal(statSync(join(folder, 'out.pcap')).size, 24 + 100 * (16 + 60));
});
