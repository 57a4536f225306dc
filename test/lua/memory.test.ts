// A script that eats memory ends with an error, whatever it catches; what others do and hold stays as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Interpreter } from '../../lua/interpreter.ts';
import { failLua, runLua, startLua, valuesOf } from '../support/lua_run.ts';

const mebibyte = 2 ** 20;
const budgetBytes = 64 * mebibyte;

function usedBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // The second waits until the bytes of strings are freed.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What others do meanwhile: they make garbage, hold a little, and are right in the end. */
const innocent = `
  local held, sum = {}, 0
  for i = 1, 2e4 do held[i] = { i } end
  for i = 1, 1e5 do local garbage = { i } sum = sum + garbage[1] end
  return #held, sum`;

const hungry: Record<string, string> = {
  tables: 'local t = {} while true do t[#t + 1] = { 1, 2, 3 } end',
  'strings of a mebibyte': 'local t = {} while true do t[#t + 1] = ("x"):rep(2^20) end',
  'strings of the largest size': 'local t = {} while true do t[#t + 1] = ("x"):rep(2^26) end',
  closures: 'local t = {} while true do local n = #t t[n + 1] = function() return n end end',
  coroutines: 'local t = {} while true do t[#t + 1] = coroutine.create(function() end) end',
  code: 'local t = {} while true do t[#t + 1] = load(("x = 1 "):rep(1e4)) end',
  'tables, in a loop of pcall': 'local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end',
  'tables, in a callback of table.sort':
    'local t = {} while true do pcall(table.sort, { 3, 2, 1 }, function() while true do t[#t + 1] = {} end end) end',
  'tables, in coroutines': `local t = {} local function grow() while true do t[#t + 1] = {} end end
     while true do pcall(coroutine.wrap(function() while true do pcall(grow) end end)) end`,
  'tables, in a handler of xpcall':
    'local t = {} while true do xpcall(error, function() while true do t[#t + 1] = {} end end) end',
};

for (const [name, source] of Object.entries(hungry)) {
  test(`memory ends with ${name}, others go on, and it is free again`, { timeout: 60_000 }, async () => {
    const before = usedBytes();
    const interpreter = new Interpreter({ memoryBudgetBytes: budgetBytes });
    const other = startLua(innocent, interpreter);
    const outcome = await startLua(source, interpreter).outcome;
    assert.equal(outcome.kind, 'error');
    if (outcome.kind !== 'error') return;
    assert.match(
      outcome.message,
      /^test\.lua:[12]: not enough memory: the scripts' data exceed 64 MiB; this one has grown most$/,
    );
    assert.match(outcome.traceback, /^stack traceback:\n/);
    const done = await other.outcome;
    assert.deepEqual(done.kind === 'done' && done.values.map(({ text }) => text), ['20000', '5000050000']);
    for (let turn = 0; turn < 1000 && usedBytes() - before > budgetBytes / 2; turn++) await delay(20);
    assert.ok(usedBytes() - before < budgetBytes / 2, `${(usedBytes() - before) / mebibyte} MiB are still in use`);
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

test('data in globals: who grows further ends, and hears why; once they are gone, there is room', {
  timeout: 60_000,
}, async () => {
  const interpreter = new Interpreter({ memoryBudgetBytes: budgetBytes });
  // 55 strings of a mebibyte stay below the budget.
  await runLua('kept = {} for i = 1, 55 do kept[i] = ("x"):rep(2^20) end', interpreter);
  const growing = 'more = {} for i = 1, 50 do more[i] = ("x"):rep(2^20) end';
  assert.match(
    await failLua(growing, interpreter),
    /^test\.lua:1: not enough memory: .* 64 MiB; globals hold most of that \(set to nil .*\), and this one was still growing$/,
  );
  assert.equal(await runLua('kept, more = nil, nil', interpreter), '');
  assert.equal(await runLua(`${growing} print(#more)`, interpreter), '50\n');
});

test('data in globals are not held against who merely watches', { timeout: 60_000 }, async () => {
  const interpreter = new Interpreter({ memoryBudgetBytes: budgetBytes });
  const watcher = startLua(
    `while not isOver do
       local garbage = {} for i = 1, 200 do garbage[i] = { i } end
       for _, each in ipairs(kept or {}) do local first = each end
       os.clock()
     end
     return "watched"`,
    interpreter,
  );
  const growing = 'kept = kept or {} while true do kept[#kept + 1] = { ("x"):rep(1e5) } end';
  for (let turn = 0; turn < 3; turn++) {
    assert.match(await failLua(growing, interpreter), /^test\.lua:1: not enough memory: /);
    await delay(300);
    assert.equal(watcher.task.isOver, false);
  }
  assert.equal(await runLua('isOver = true', interpreter), '');
  const done = await watcher.outcome;
  assert.deepEqual(done.kind === 'done' && done.values.map(({ text }) => text), ['watched'], JSON.stringify(done));
});

test('garbage is not held against anybody', { timeout: 60_000 }, async () => {
  const interpreter = new Interpreter({ memoryBudgetBytes: budgetBytes });
  const source = 'local n = 0 for i = 1, 500 do n = n + #("x"):rep(2^20) end return n / 2^20';
  assert.deepEqual(await valuesOf(source, 'text', interpreter), ['500']);
});

/** Calls that build a string in one go. */
const longStrings: string[] = [
  '("x"):rep(5e8)',
  '("x"):rep(1e15)',
  '("x"):rep(1e7, ("y"):rep(100))',
  'long .. long',
  `${'long .. '.repeat(100)}long`,
  'table.concat({ long, long })',
  '(function() local t = {} for i = 1, 1e4 do t[i] = part end return table.concat(t) end)()',
  '(("x"):rep(1e5):gsub("x", part))',
  '("%s%s"):format(long, long)',
  'string.pack("zz", long, long)',
];

for (const call of longStrings) {
  test(`no string is longer than 64 MiB: ${call.slice(0, 60)}`, async () => {
    const source = `local long, part = ("x"):rep(2^26), ("y"):rep(2^20)
      local ok, message = pcall(function() return #${call} end) return ok, message`;
    const [ok, message] = await valuesOf(source, 'text');
    assert.equal(ok, 'false');
    assert.match(
      message ?? '',
      /^test\.lua:[12]: not enough memory: a string of \d+ bytes; a script's strings may have 67108864 \(64 MiB\)$/,
    );
  });
}

test('files and output have the same limit', async () => {
  const tooLong = /not enough memory: a string of \d+ bytes/;
  assert.match(await failLua('io.open("/dev/zero"):read("a")'), tooLong);
  assert.match(await failLua('io.open("/dev/zero"):read(1e12)'), tooLong);
  assert.match(await failLua('local s = ("x"):rep(2^26) print(s, s)'), tooLong);
  assert.match(await failLua('local s = ("x"):rep(2^26) io.write(s, s)'), tooLong);
});

test('strings up to the limit are made, compared and found in tables by their bytes', async () => {
  const text = await runLua(`
    local s = ("x"):rep(2^26)
    print(#s, s == ("x"):rep(2^26), s < s .. "", ({ [s] = "found" })[("x"):rep(2^26)])
    print(("ab"):rep(3, ","), ("x"):rep(0), ("x"):rep(-1), #(""):rep(1e9))
    local t = { ["\\1\\35"] = "one" } print(t["\\18\\3"], "\\n" < "a", "\\t" < " ", "a" < "\\xff", "a" < "ab")
  `);
  assert.equal(text, '67108864\ttrue\tfalse\tfound\nab,ab,ab\t\t\t0\nnil\ttrue\ttrue\ttrue\ttrue\n');
});
