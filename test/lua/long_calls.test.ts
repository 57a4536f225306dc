// Single calls that take long, and what they leave to others: none blocks the process for much longer than a second.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Interpreter } from '../../lua/interpreter.ts';
import { failLua, runLua, startLua } from '../support/lua_run.ts';

/** Many times what a call may take: the machine may be busy. */
const timeout = 30_000;

const backtracking = '("a"):rep(40), (".-"):rep(30) .. "b"';

const refused: Record<string, RegExp> = {
  [`string.find(${backtracking})`]: /^test\.lua:1: string\.find: the pattern has been at work for 1 s; that blocks /,
  [`string.match(${backtracking})`]: /string\.match: the pattern has been at work/,
  [`string.gsub(${backtracking}, "")`]: /string\.gsub: the pattern has been at work/,
  [`for _ in string.gmatch(${backtracking}) do end`]: /test\.lua:1: a pattern has been at work for 1 s/,
  '("("):rep(6e7):find("%b()")': /the pattern has been at work/,
  '("a"):rep(6e7):find("a*b")': /the pattern has been at work/,
  '("a"):rep(6e6):find("^(.-)%1%1x")': /the pattern has been at work/,
  '("a"):rep(6e7):find(("a"):rep(3e7) .. "b", 1, true)': /the pattern has been at work/,
  'table.move({}, 1, 2^31 - 2, 2)': /2147483646 elements are too many for one call; go through 10000000 at most$/,
  'table.insert(setmetatable({}, { __len = function() return 2^31 - 5 end }), 1, 1)': /elements are too many/,
  'table.sort(setmetatable({}, { __len = function() return 2^31 - 5 end }))': /elements are too many/,
  'table.concat(setmetatable({}, { __index = rawlen }), "", 1, 2^31 - 5)': /elements are too many/,
  'table.unpack({}, 1, 1e8)': /too many results to unpack$/,
  'assert(load(os.clock))': /load: the function gives more source than a call may take \(16 MiB and 1 s\)$/,
  'os.date(("%c"):rep(1e6))': /os\.date: a format of 2000000 bytes; it may have 4096$/,
};
for (const [source, message] of Object.entries(refused)) {
  test(`a call that takes too long is an error: ${source.slice(0, 70)}`, { timeout }, async () => {
    const interpreter = new Interpreter();
    assert.match(await failLua(source, interpreter), message);
    assert.match(await failLua(`local ok, e = pcall(function() ${source} end) error(e, 0)`, interpreter), message);
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

/** What does not end by itself: each call takes some hundred milliseconds, or swallows its end. */
const endless: string[] = [
  'local function f() pcall(f) pcall(f) end f()',
  'local function f() pcall(coroutine.wrap(f)) pcall(f) end f()',
  'local s = ("x"):rep(6e7) while true do pcall(s.find, s, "[^x]") end',
  'local s = ("x"):rep(1e7) while true do utf8.len(s) end',
  'local s = ("x"):rep(1e7) while true do coroutine.wrap(utf8.len)(s) end',
  'local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t) end',
  'local t = {} for i = 1, 1e5 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end',
  'local t = {} for i = 1, 1e5 do t[i] = i end while true do table.concat(t) end',
  'local s = ("x = 1 "):rep(1e5) while true do load(s) end',
];
for (const source of endless) {
  test(`a loop of long calls can be interrupted: ${source.slice(0, 70)}`, { timeout }, async () => {
    const interpreter = new Interpreter();
    const { task, outcome } = startLua(source, interpreter);
    await delay(300);
    interpreter.scheduler.interrupt(task);
    const beganMs = performance.now();
    assert.deepEqual(await outcome, { kind: 'interrupted' });
    assert.ok(performance.now() - beganMs < 10_000);
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

test('what library functions do and say is the same', async () => {
  const text = await runLua(`
    print(("hello world"):find("o w"), ("hello"):find("l", 1, true), ("hello"):find("xyz", 1, true))
    print(("key = value"):match("^(%w+)%s*=%s*(%w+)$"), ("f(a(b)c)d"):match("%b()"), ("abab"):match("(ab)%1"))
    print(("hello"):gsub("l", "%0%0"), ("hello"):gsub("l", "L"), ("hello"):gsub("", "-"))
    for word in ("one two"):gmatch("%a+") do io.write(word, ";") end
    print(pcall(string.rep), pcall(table.concat, { {} }))
    print(load(function() end), select("#", table.unpack({}, 1, 100)))
  `);
  assert.deepEqual(
    text.split('\n').map((line) => line.replace(/function: \S+/, 'function')),
    [
      '5\t3\tnil',
      'key\t(a(b)c)\tab',
      'hellllo\theLLo\t-h-e-l-l-o-\t6',
      ['one;two;false', "false\tinvalid value (table) at index 1 in table for 'concat'"].join('\t'),
      'function\t100',
      '',
    ],
  );
});
