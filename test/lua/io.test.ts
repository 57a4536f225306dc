// io.*: what does not work out is reported as Lua does, and no descriptor is left behind.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { makeFolder } from '../support/files.ts';
import { failLua, runLua } from '../support/lua_run.ts';

/** How many descriptors of this process are open on the file. */
function openCount(path: string): number {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one that lists the folder is closed by now.
      return '';
    }
  });
  return targets.filter((target) => target === path).length;
}

function makeFile(t: Parameters<typeof makeFolder>[0], content: string): string {
  const path = join(makeFolder(t), 'file.txt');
  writeFileSync(path, content);
  return path;
}

test('a command that has ended takes no more: nil, a message and a code', { timeout: 20_000 }, async () => {
  const text = await runLua(`
    local f = io.popen("true", "w")
    os.execute("sleep 0.3")
    print(f:write("x")) print(f:write("x"))
    print(f:close())
    f = io.popen("sleep 0.1; exit 3", "w")
    print(f:write(("x"):rep(1e6)))
    print(f:close())
    print("after")
  `);
  const broken = 'nil\tEPIPE: broken pipe\t32\n';
  assert.equal(text, `${broken}${broken}true\texit\t0\n${broken}nil\texit\t3\nafter\n`);
});

test('a slow command is waited for, and gets everything', async () => {
  const source =
    'local f = io.popen("sleep 0.1; test $(wc -c) -eq 2000000 && exit 5", "w") for _ = 1, 20 do f:write(("x"):rep(1e5)) end';
  assert.equal(await runLua(`${source} print(f:close())`), 'nil\texit\t5\n');
});

test('io.lines closes the file that it has opened at its end', async (t) => {
  const path = makeFile(t, 'a\nb\n');
  const text = await runLua(`
    local name = "${path}"
    for line in io.lines(name) do io.write(line, ",") end
    local nextLine = io.lines(name) nextLine() nextLine() print(nextLine(), pcall(nextLine))
    local f = io.open(name) for line in f:lines() do io.write(line, ",") end print(io.type(f), f:read("a")) f:close()
    f = io.open(name) for line in io.lines(f) do io.write(line, ",") end print(io.type(f)) f:close()
  `);
  assert.equal(text, 'a,b,nil\tfalse\ttest.lua:4: the file is closed\na,b,file\t\na,b,file\n');
  assert.equal(openCount(path), 0);
});

test('files that nobody can reach any more are closed', async (t) => {
  const path = makeFile(t, 'a\nb\n');
  await runLua(`
    local name = "${path}"
    for _ = 1, 50 do io.open(name) for line in io.lines(name) do break end end
    for _ = 1, 50 do io.open(name):close() end
  `);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // The last one may still lie on a stack.
  for (let turn = 0; turn < 50 && openCount(path) > 2; turn++) {
    collect();
    await delay(10);
  }
  assert.ok(openCount(path) <= 2, `${openCount(path)} are open`);
});

test('wrong formats, modes and places raise', async (t) => {
  const path = makeFile(t, 'hello');
  const cases: [string, RegExp][] = [
    ['f:read(-1)', /read: argument 1 must be .* or a count of bytes, got -1$/],
    ['f:read(1, 0.5)', /read: argument 2 must be .* or a count of bytes, got 0.5$/],
    ['f:read("bogus")', /read: argument 1 must be .* or a count of bytes, got bogus$/],
    ['f:seek("bogus")', /seek: argument 1 must be "set", "cur" or "end", got "bogus"$/],
    ['f:close() f:seek()', /the file is closed$/],
    ['io.popen("true", "zz")', /io.popen: argument 2 must be "r" \(to read\) or "w" \(to write\), got "zz"$/],
  ];
  for (const [source, message] of cases) {
    assert.match(await failLua(`local f = io.open("${path}") ${source} f:close()`), message);
  }
  assert.equal(
    await runLua(`local f = io.open("${path}") print(f:seek("set", -1)) print(f:read(0, 5)) f:close()`),
    'nil\tEINVAL: invalid argument\t22\n\thello\n',
  );
});

test('what the system refuses is nil, a message and a code; in a loop over lines it is raised', async (t) => {
  const folder = makeFolder(t);
  const text = await runLua(`
    local f = io.open("${folder}") print(f:read()) print(f:read("a")) print(pcall(f:lines())) f:close()
    print(pcall(function() for line in io.lines("${folder}") do end end))
    print(select(3, io.open("${folder}/none")))
    f = io.open("${folder}/new", "w") print(f:read()) f:close()
  `);
  const isFolder = 'EISDIR: illegal operation on a directory, read';
  assert.deepEqual(text.split('\n'), [
    `nil\t${isFolder}\t21`,
    `nil\t${isFolder}\t21`,
    `false\ttest.lua:2: ${isFolder}`,
    `false\ttest.lua:3: ${isFolder}`,
    '2',
    'nil\tEBADF: bad file descriptor, read\t9',
    '',
  ]);
});
