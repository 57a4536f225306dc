// Chunks run side by side, wait without blocking, and end when they are told to, whatever they do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { extendTable } from '../../lua/functions.ts';
import { Interpreter } from '../../lua/interpreter.ts';
import { lua } from '../../lua/lua_api.ts';
import { sleep } from '../../lua/scheduler.ts';
import { failLua, runLua, startLua } from '../support/lua_run.ts';

/** An interpreter with sleep(seconds), as BRICKS.sleep() is made. */
function withSleep(): Interpreter {
  const interpreter = new Interpreter();
  const { L, scheduler } = interpreter;
  extendTable(L, '_G', {
    sleep: (caller) => {
      const seconds = lua.lua_tonumber(caller, 1);
      return scheduler.wait(
        caller,
        (signal) => sleep(seconds * 1000, signal),
        () => 0,
      );
    },
    throws: () => {
      throw new Error('boom');
    },
    fails: (caller) =>
      scheduler.wait(
        caller,
        () => Promise.reject(new Error('boom')),
        () => 0,
      ),
  });
  return interpreter;
}

test('chunks take turns and the event loop goes on', async () => {
  const interpreter = withSleep();
  const endless = startLua('while true do end', interpreter);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const short = startLua('for i = 1, 3 do print(i) sleep(0.001) end', interpreter);
  assert.equal((await short.outcome).kind, 'done');
  clearInterval(timer);
  assert.equal(short.text(), '1\n2\n3\n');
  assert.ok(turns > 0);
  interpreter.scheduler.interrupt(endless.task);
  assert.equal((await endless.outcome).kind, 'interrupted');
});

test('a busy wait on os.clock stalls nobody', async () => {
  const interpreter = withSleep();
  const busy = startLua(
    `local start = os.clock() repeat until os.clock() - start >= 0.05 print(os.clock() - start >= 0.05)`,
    interpreter,
  );
  const other = startLua('for i = 1, 5 do sleep(0.001) end print("other")', interpreter);
  await other.outcome;
  assert.equal(other.text(), 'other\n');
  assert.equal((await busy.outcome).kind, 'done');
  assert.equal(busy.text(), 'true\n');
});

test('waits and slices pass through the coroutines of the user', async () => {
  const text = await runLua(
    `
    local co = coroutine.create(function(a)
      sleep(0.001)
      local n = 0 for i = 1, 3e5 do n = n + 1 end
      local b = coroutine.yield(a + n)
      sleep(0.001)
      return b * 2
    end)
    print(coroutine.resume(co, 1)) print(coroutine.status(co)) print(coroutine.resume(co, 21))
    print(coroutine.status(co), coroutine.resume(co))
    local gen = coroutine.wrap(function() for i = 1, 3 do sleep(0.001) coroutine.yield(i) end end)
    print(gen(), gen(), gen(), gen())
    print(pcall(coroutine.wrap(function() sleep(0.001) error("inner") end)))
    print(pcall(function() sleep(0.001) error("outer", 0) end))
    print(select(2, coroutine.running()), pcall(coroutine.yield))
    print(coroutine.resume(coroutine.running()))
    print(xpcall(function(a) sleep(0.001) error(a, 0) end, function(m) return "handled " .. m end, "arg"))
    `,
    withSleep(),
  );
  assert.equal(
    text,
    [
      'true\t300001',
      'suspended',
      'true\t42',
      'dead\tfalse\tcannot resume dead coroutine',
      '1\t2\t3',
      'false\ttest.lua:13: inner',
      'false\touter',
      'true\tfalse\ttest.lua:15: attempt to yield from outside a coroutine',
      'false\tcannot resume non-suspended coroutine',
      'false\thandled arg',
      '',
    ].join('\n'),
  );
});

test('slices survive errors that were caught', async () => {
  const interpreter = withSleep();
  const run = startLua('pcall(error) xpcall(error, print) while true do end', interpreter);
  await delay(20);
  interpreter.scheduler.interrupt(run.task);
  assert.equal((await run.outcome).kind, 'interrupted');
});

test('what a wait rejects with is raised', async () => {
  assert.match(await runLua('print(pcall(fails))', withSleep()), /^false\ttest.lua:1: internal error: boom/);
});

test('what fails in a handler of xpcall stays in that xpcall', async () => {
  const interpreter = withSleep();
  const text = await runLua(
    `
    print(pcall(string.gsub, "abc", ".", function() sleep(0.01) end))
    print(xpcall(error, function(m) sleep(0.01) return 1 end, "z"))
    print(xpcall(error, function(m) throws() return 1 end, "z"))
    print(xpcall(error, function(m) return ("x"):rep(1e10) end, "z"))
    print(xpcall(function() sleep(0.001) throws() end, function(m) throws() return m end))
    print(coroutine.wrap(function() return xpcall(error, function() sleep(0.01) end) end)())
    local p = io.popen("exit 3")
    print(xpcall(error, function(m) p:close() return m end, "z"))
    print(p:close())
    print(xpcall(error, function(m) return m, pcall(sleep, 1) end, "handled"))
    sleep(0.001)
    print("after")
    `,
    interpreter,
  );
  const failed = 'false\terror in error handling';
  assert.deepEqual(text.split('\n').slice(1), [
    ...Array(6).fill(failed),
    'nil\texit\t3',
    'false\thandled',
    'after',
    '',
  ]);
  assert.match(text, /^false\ttest.lua:2: cannot wait inside a callback/);
});

test('a chunk that fengari itself fails in ends with an error, and others go on', async () => {
  const interpreter = new Interpreter();
  const { L } = interpreter;
  // Not through pushFunction(): what it throws reaches fengari, whose own handler fails as well.
  lua.lua_pushcfunction(L, () => {
    throw new Error('boom');
  });
  lua.lua_setglobal(L, Buffer.from('raw'));
  lua.lua_atnativeerror(L, () => {
    throw new Error('boom');
  });
  // After an error that was caught fengari runs the rest of the chunk elsewhere, and cannot report such a failure.
  assert.match(await failLua('pcall(error) raw()', interpreter), /^internal error: assertion failed/);
  assert.equal(await runLua('print(1)', interpreter), '1\n');
});

test('a wait where none is possible says so', async () => {
  const source = 'table.sort({ 3, 2, 1 }, function(a, b) sleep(1) return a < b end)';
  assert.match(await failLua(source, withSleep()), /^test.lua:1: cannot wait inside a callback of table.sort/);
});

const stubborn: Record<string, string> = {
  'an endless loop': 'while true do end',
  'pcall in a loop': 'while true do pcall(function() while true do end end) end',
  'xpcall in a loop': 'while true do xpcall(function() while true do end end, function() end) end',
  'a coroutine': 'local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end',
  'coroutine.resume in a loop':
    'while true do coroutine.resume(coroutine.create(function() while true do pcall(error) end end)) end',
  'a long sleep': 'sleep(1e6)',
  'a sleep in pcall in a loop': 'while true do pcall(sleep, 1e6) end',
  'a sleep in a coroutine': 'coroutine.wrap(function() while true do pcall(sleep, 1e6) end end)()',
  'a busy wait': 'while true do local s = os.clock() while os.clock() - s < 1e6 do end end',
  'a sort': 'while true do pcall(table.sort, {1,2,3,4,5}, function(a, b) while true do end end) end',
  'a gsub': 'while true do pcall(string.gsub, "aaa", "a", function() while true do end end) end',
  'a metamethod':
    'local t = setmetatable({}, { __index = function() while true do end end }) while true do pcall(function() return t.x end) end',
  'a reader of load': 'while true do load(function() while true do end end) end',
  'a handler of xpcall': 'while true do xpcall(error, function() while true do end end) end',
  'a close in tostring':
    'local t = setmetatable({}, { __tostring = function() while true do end end }) while true do pcall(print, t) end',
  'a child process': 'os.execute("sleep 1000")',
  'a pipe': 'io.popen("sleep 1000"):read("*all")',
};
for (const [name, source] of Object.entries(stubborn)) {
  test(`${name} is interrupted`, { timeout: 20_000 }, async () => {
    const interpreter = withSleep();
    const run = startLua(source, interpreter);
    await delay(20);
    interpreter.scheduler.interrupt(run.task);
    assert.equal((await run.outcome).kind, 'interrupted');
    // The interpreter works on.
    assert.equal(await runLua('print(1)', interpreter), '1\n');
  });
}

test('os.exit ends the chunk with its status, through pcall and coroutines', async () => {
  const statuses: [string, number][] = [
    ['os.exit()', 0],
    ['os.exit(3)', 3],
    ['os.exit(-1)', 255],
    ['os.exit(true)', 0],
    ['os.exit(false)', 1],
    ['pcall(os.exit, 4) print("not reached")', 4],
    ['while true do pcall(function() coroutine.wrap(function() os.exit(5) end)() end) end', 5],
    ['table.sort({ 3, 2, 1 }, function() os.exit(6) end) print("not reached")', 6],
    ['while true do pcall(table.sort, { 3, 2, 1 }, function() os.exit(7) end) end', 7],
  ];
  for (const [source, status] of statuses) {
    const run = startLua(source);
    assert.deepEqual(await run.outcome, { kind: 'exit', status }, source);
    assert.equal(run.text(), '');
  }
});

test('errors carry file and line, and a traceback', async () => {
  const source = 'local function inner()\n  error("bad")\nend\nlocal function outer()\n  inner()\nend\nouter()';
  const outcome = await startLua(source, undefined, { name: 'dir/script.lua' }).outcome;
  assert.equal(outcome.kind, 'error');
  if (outcome.kind !== 'error') return;
  assert.equal(outcome.message, 'dir/script.lua:2: bad');
  assert.match(outcome.traceback, /^stack traceback:/);
  assert.match(outcome.traceback, /dir\/script\.lua:2: in .*'inner'/);
  assert.match(outcome.traceback, /dir\/script\.lua:5: in .*'outer'/);
  assert.match(outcome.traceback, /\n\tdir\/script\.lua:7: in main chunk$/);
  assert.equal(await failLua('error({})'), 'error object is a table value');
  const object = (body: string) => failLua(`error(setmetatable({}, { __tostring = function() ${body} end }))`);
  assert.equal(await object('return "its text"'), 'its text');
  for (const body of ['return {}', 'error("no")', 'while true do end', 'coroutine.yield()']) {
    assert.equal(await object(body), 'error object is a table value', body);
  }
  assert.equal(await failLua('local x = nil\nx.y = 1'), "test.lua:2: attempt to index a nil value (local 'x')");
  assert.match(await failLua('local function f() return f() + 1 end f()'), /stack overflow/);
});
