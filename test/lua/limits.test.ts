// Source and calls that are made to hurt: an error for who sent them, and nothing for the others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Interpreter } from '../../lua/interpreter.ts';
import { failLua, runLua, startLua, valuesOf } from '../support/lua_run.ts';
import { until } from '../support/programs.ts';

/** Source that does not compile, and what is said. */
const sources: [string, RegExp][] = [
  [`return ${'('.repeat(1e5)}1`, /too many JS levels/],
  [`return ${'{'.repeat(1e5)}`, /too many JS levels/],
  [`return ${'not '.repeat(1e5)}x`, /too many JS levels/],
  [`return ${'a..'.repeat(1e5)}a`, /too many JS levels/],
  ['do '.repeat(1e5), /too many JS levels/],
  ['return function() '.repeat(1e4), /too many JS levels/],
  [`${'a,'.repeat(1e4)}a = 1`, /too many JS levels/],
  ['local a '.repeat(300), /too many local variables/],
  [`-- ${'x'.repeat(17 * 2 ** 20)}`, /^big\.lua: \d+ bytes of source; a source may have 16777216 \(16 MiB\)$/],
  [`if a then ${'elseif a then '.repeat(3e5)}end`, /^big\.lua: takes longer than 1 s to compile; split it$/],
];

for (const [source, message] of sources) {
  test(`source is refused: ${source.slice(0, 24)}...`, { timeout: 60_000 }, async () => {
    const interpreter = new Interpreter();
    const compiled = interpreter.compile(source, 'big.lua');
    assert.notEqual(compiled.kind, 'compiled');
    if (compiled.kind !== 'compiled') assert.match(compiled.message, message);
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

// The limit is one of time: where others have the processor it is refused, and compiled when it is tried again.
test('source of 300,000 tokens is compiled, by load() too', async () => {
  const tooSlow = /: takes longer than 1 s to compile; split it$/;
  const source = `${'x = 1 '.repeat(1e5)} return x`;
  await until('it to be compiled', () => {
    const compiled = new Interpreter().compile(source, 'test.lua');
    if (compiled.kind === 'error') assert.match(compiled.message, tooSlow);
    return compiled.kind === 'compiled';
  });
  await until('load() to compile it', async () => {
    const code = 'local f, message = load(("x = 1 "):rep(1e5) .. " return x") return f and f() or message';
    const [value = ''] = await valuesOf(code, 'text');
    if (value !== '1') assert.match(value, tooSlow);
    return value === '1';
  });
});

test('load() keeps its name, mode and environment, and has the limits', async () => {
  const text = await runLua(`
    print(load("return x", "=name", "t", { x = "mine" })())
    print(load("error('e')", "=name"), pcall(load("error('e')", "@file.lua")))
    print(load("x =", "=name")) print(load("x", "=name", "b"))
    print(load(string.dump(function() return "dumped" end))())
    local parts = { "return ", "1 + ", "1" } local i = 0
    print(load(function() i = i + 1 return parts[i] end)())
    print(load(("-"):rep(17 * 2^20), "=name"))
  `);
  assert.deepEqual(
    text.split('\n').map((line) => line.replace(/function: \S+/, 'function')),
    [
      'mine',
      'function\tfalse\tfile.lua:1: e',
      'nil\tname:1: unexpected symbol near <eof>',
      "nil\tattempt to load a text chunk (mode is 'b')",
      'dumped',
      '2',
      'nil\ttest.lua:8: name: 17825792 bytes of source; a source may have 16777216 (16 MiB)',
      '',
    ],
  );
});

const recursions: Record<string, [string, RegExp]> = {
  calls: ['local function f() return 1 + f() end f()', /stack overflow/],
  coroutines: ['local function f() return coroutine.wrap(f)() end f()', /stack overflow/],
  'metamethods of functions': [
    'local t = setmetatable({}, {}) getmetatable(t).__index = function(s, k) return s[k .. "x"] end return t.x',
    /stack overflow/,
  ],
  pcall: [
    'local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()',
    /stack overflow|error in error handling/,
  ],
  'handlers of xpcall': [
    'local function f() xpcall(error, f) error("x") end f()',
    /stack overflow|error in error handling|x$/,
  ],
  tostring: [
    'local t = setmetatable({}, {}) getmetatable(t).__tostring = function(s) return tostring(s) end return tostring(t)',
    /stack overflow/,
  ],
  patterns: ['return (("a"):rep(1e5)):find(("("):rep(100))', /too many captures|malformed pattern|unfinished capture/],
  sort: ['table.sort(setmetatable({}, { __len = function() return 1e15 end }))', /object length is not an integer/],
};
for (const [name, [source, message]] of Object.entries(recursions)) {
  test(`endless recursion is an error: ${name}`, { timeout: 60_000 }, async () => {
    const interpreter = new Interpreter();
    assert.match(await failLua(source, interpreter), message);
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

test('many that spin leave a new one its turn: after one slice of each', async () => {
  const interpreter = new Interpreter();
  const spinning = Array.from({ length: 10 }, () => startLua('n = (n or 0) while true do n = n + 1 end', interpreter));
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  let turns = 0;
  let isDone = false;
  const late = startLua('return 1', interpreter);
  void late.outcome.then(() => {
    isDone = true;
  });
  while (!isDone) {
    await nextTurn();
    turns++;
  }
  // Each slice is a turn of the event loop.
  assert.ok(turns <= spinning.length + 3, `${turns} turns`);
  for (const { task } of spinning) interpreter.scheduler.interrupt(task);
  for (const { outcome } of spinning) assert.equal((await outcome).kind, 'interrupted');
});
