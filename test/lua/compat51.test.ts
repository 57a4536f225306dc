// Scripts for Lua 5.1 run as they are: what 5.3 took away, io, os, files and modules.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Interpreter } from '../../lua/interpreter.ts';
import { makeFolder } from '../support/files.ts';
import { failLua, runLua, startLua } from '../support/lua_run.ts';

test('functions that 5.1 has', async () => {
  const text = await runLua(`#!/usr/bin/env bricks
    print 'no parentheses'
    print(unpack({ 1, 2, 3 }))
    print(loadstring("return 1 + 1")(), loadstring("+"))
    print(table.getn({ 4, 5 }), table.maxn({ [7] = 1, [2] = 1 }))
    table.foreach({ a = 1 }, print) table.foreachi({ "x", "y" }, print)
    print(table.foreachi({ 1, 2, 3 }, function(i, v) if v == 2 then return i end end))
    print(math.pow(2, 10), math.mod(7, 4), math.log10(1000), math.ldexp(3, 4), math.frexp(12))
    for word in string.gfind("a b", "%a") do io.write(word, ";") end print()
    print(type(collectgarbage("count")), collectgarbage(), collectgarbage("collect"))
    local function f() return x end
    setfenv(f, { x = "mine" }) print(f(), getfenv(f).x, getfenv(1) == _G)
    print(pcall(collectgarbage, "nonsense"))
  `);
  assert.equal(
    text,
    [
      'no parentheses',
      '1\t2\t3',
      `2\tnil\t[string "+"]:1: unexpected symbol near '+'`,
      '2\t7',
      'a\t1',
      '1\tx',
      '2\ty',
      '2',
      '1024\t3\t3\t48\t0.75\t4',
      'a;b;',
      'number\t0\t0',
      'mine\tmine\ttrue',
      'false\ttest.lua:13: collectgarbage: argument 1 must be one of collect, count, isrunning, restart, setpause, ' +
        'setstepmul, step, stop; got "nonsense"',
      '',
    ].join('\n'),
  );
});

test('a first line for the shell is skipped and counts as a line', async () => {
  assert.equal(await failLua('#!/usr/bin/lua\nerror("here")'), 'test.lua:2: here');
});

test('files are written, read by every format, appended and positioned', async (t) => {
  const folder = makeFolder(t);
  const text = await runLua(`
    local name = "${folder}/file.txt"
    local f = assert(io.open(name, "w")) f:write("12 0x10\\n", "second\\n", 3, "\\nlast") f:close()
    f = io.open(name) print(f:read("*n", "*n", "*l", "*l", 1, "*a", "*a", "*l")) f:close()
    for line in io.lines(name) do io.write("[", line, "]") end print()
    f = io.open(name, "a") f:write("+more") f:close()
    f = io.open(name, "rb") print(f:seek("end"), f:seek("set", 3), f:read(4), f:seek("cur")) print(f:read("a"):len())
    print(io.type(f), io.type(1), tostring(f)) f:close() print(io.type(f), pcall(f.read, f))
    print(io.open("${folder}/none/x"))
    print(pcall(io.lines, "${folder}/none"))
    print(pcall(io.open, name, "q"))
    print(os.remove(name), io.open(name))
  `);
  assert.match(text, /^12\t16\t\tsecond\t3\t\nlast\t\tnil\n\[12 0x10\]\[second\]\[3\]\[last\]\n/);
  assert.match(text, /\n26\t3\t0x10\t7\n19\nfile\tnil\tfile\nclosed file\tfalse\ttest.lua:8: the file is closed\n/);
  assert.match(text, /\nnil\t\S+: ENOENT: .*\nfalse\ttest.lua:10: io.lines: ENOENT: .*\n/);
  assert.match(text, /invalid mode "q"/);
});

test('os.execute returns 0, io.popen reads and writes, and nothing is blocked meanwhile', async (t) => {
  const folder = makeFolder(t);
  const interpreter = new Interpreter();
  const waiting = startLua('print(os.execute("sleep 0.3"), "slept")', interpreter);
  const text = await runLua(
    `
    print(os.execute("true"), os.execute("exit 3"), os.execute())
    local h = io.popen("echo one; echo two") print(h:read("*all")) print(h:close())
    for line in io.popen("printf 'a\\\\nb\\\\n'"):lines() do io.write(line, ",") end print()
    h = io.popen("cat > ${folder}/out; exit 4", "w") h:write("written") print(h:close())
    os.setenv("BRICKS_TEST_VARIABLE", "set") print(io.popen("echo $BRICKS_TEST_VARIABLE"):read())
    os.setenv("BRICKS_TEST_VARIABLE") print(os.getenv("BRICKS_TEST_VARIABLE"))
    `,
    interpreter,
  );
  assert.equal(text, '0\t3\t1\none\ntwo\n\ntrue\texit\t0\na,b,\nnil\texit\t4\nset\nnil\n');
  assert.equal(readFileSync(join(folder, 'out'), 'utf8'), 'written');
  await waiting.outcome;
  assert.equal(waiting.text(), '0\tslept\n');
});

test('io.read reads what the interpreter was given', async () => {
  const input = Readable.from([Buffer.from('first\nsec'), Buffer.from('ond\n')]);
  assert.equal(
    await runLua('print(io.read(), io.read("*l"), io.read())', new Interpreter({ input })),
    'first\tsecond\tnil\n',
  );
  assert.match(
    await failLua('io.read()'),
    /^test.lua:1: standard input is the prompt's; io.read\(\) works in scripts without a terminal$/,
  );
});

test('dofile, loadfile and require look in the working directory, then in the fallback folder', async (t) => {
  const folder = makeFolder(t);
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'sub/part.lua'), '#!x\nvalue = (value or 0) + 1\nreturn value, ...');
  writeFileSync(join(folder, 'module.lua'), 'local M = { name = ... } loads = (loads or 0) + 1 return M');
  writeFileSync(join(folder, 'bad.lua'), '\n\nerror("bad")');
  writeFileSync(join(folder, 'syntax.lua'), 'x =');
  const text = await runLua(
    `
    print(dofile("sub/part.lua")) print(loadfile("sub/part.lua")())
    print(require("module").name, require("module") == require "module", loads, package.loaded.module.name)
    print(pcall(dofile, "bad.lua")) print(loadfile("syntax.lua")) print(pcall(dofile, "none.lua"))
    print(pcall(require, "nomodule"))
    package.preload.given = function(name) return "preloaded " .. name end print(require("given"))
    `,
    new Interpreter({ fallbackFolder: folder }),
  );
  const lines = text.split('\n');
  assert.deepEqual(lines.slice(0, 3), ['1', '2', 'module\ttrue\t1\tmodule']);
  assert.match(lines[3] ?? '', /^false\t.*bad\.lua:3: bad$/);
  assert.match(lines[4] ?? '', /^nil\t.*syntax\.lua:1: unexpected symbol near <eof>$/);
  assert.match(lines[5] ?? '', /^false\tcannot open none\.lua: not in /);
  assert.match(lines[6] ?? '', /module 'nomodule' not found/);
  assert.equal(lines[7], 'preloaded given');
});

test('what a script must not reach is not there', async () => {
  assert.equal(await runLua('print(debug.sethook, debug.debug, package.loadlib, js)'), 'nil\tnil\tnil\tnil\n');
});

test('an error in TypeScript is not opaque', async () => {
  assert.match(await failLua('print(("x"):rep(1e10))'), /^test.lua:1: /);
});
