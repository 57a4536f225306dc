// io.*: what does not work out is reported as Lua does, and no descriptor is left behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Interpreter } from '../../lua/interpreter.ts';
import { endCommands } from '../../lua/shell_process.ts';
import { makeFolder } from '../support/files.ts';
import { failLua, runLua, startLua } from '../support/lua_run.ts';
import { until } from '../support/programs.ts';

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

test('a command that has ended takes no more: nil, a message and a code', { timeout: 20_000 }, async (t) => {
  const pidFile = makeFile(t, '');
  const text = await runLua(`
    local f = io.popen("echo $$ > ${pidFile}", "w")
    local pid
    repeat pid = io.open("${pidFile}"):read("*l") until pid
    while io.open("/proc/" .. pid .. "/stat") do os.execute("sleep 0.01") end
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
    print(io.open("${folder}"))
    print(pcall(function() for line in io.lines("${folder}") do end end))
    local f = io.open("/proc/self/mem") print(f:read()) print(f:read("a")) print(pcall(f:lines())) f:close()
    print(select(3, io.open("${folder}/none")))
    f = io.open("${folder}/new", "w") print(f:read()) f:close()
  `);
  const isFolder = `it is a directory; list it with io.popen("ls ${folder}")`;
  const notThere = 'EIO: i/o error, read';
  assert.deepEqual(text.split('\n'), [
    `nil\t${folder}: ${isFolder}`,
    `false\ttest.lua:3: io.lines: ${isFolder}`,
    `nil\t${notThere}\t5`,
    `nil\t${notThere}\t5`,
    `false\ttest.lua:4: ${notThere}`,
    '2',
    'nil\tEBADF: bad file descriptor, read\t9',
    '',
  ]);
});

test('what a command has printed can be read once it has ended', async () => {
  const source = 'local f = io.popen("echo one; echo two") os.execute("sleep 0.3") print(f:read("*a"), f:close())';
  assert.equal(await runLua(source), 'one\ntwo\n\ttrue\texit\t0\n');
});

test('a FIFO is refused, whatever would open it', { timeout: 20_000 }, async (t) => {
  const path = join(makeFolder(t), 'fifo');
  execFileSync('mkfifo', [path]);
  const why = 'it is a FIFO, and would block everything until its other end is there; use io.popen(';
  const text = await runLua(`
    local path = "${path}"
    print(io.open(path)) print(io.open(path, "w")) print(pcall(io.lines, path))
    print(pcall(dofile, path)) print(pcall(loadfile, path)) print(pcall(loadfile, "/dev/zero"))
    print(type(loadfile("/dev/null")), io.open("/dev/null"):read(), #io.open("/dev/zero"):read(5))
  `);
  assert.deepEqual(text.split('\n'), [
    `nil\t${path}: ${why}"cat ${path}")`,
    `nil\t${path}: ${why}"cat > ${path}", "w")`,
    `false\ttest.lua:3: io.lines: ${why}"cat ${path}")`,
    `false\ttest.lua:4: cannot read ${path}: it is not a regular file`,
    `false\ttest.lua:4: cannot read ${path}: it is not a regular file`,
    'false\ttest.lua:4: cannot read /dev/zero: it is not a regular file',
    'function\tnil\t5',
    '',
  ]);
});

test('commands that the system does not take', async () => {
  for (const call of ['os.execute', 'io.popen']) {
    assert.match(
      await failLua(`${call}("a\\0b")`),
      /^test\.lua:1: a command cannot hold a byte 0; write such data to a file$/,
    );
    assert.match(
      await failLua(`${call}(("x"):rep(3e6))`),
      /^test\.lua:1: a command of 3000000 bytes; the system takes 131071; write it to a file and run that$/,
    );
  }
});

/** A command that only this process runs: as long as two of it, which do not heed SIGTERM. */
const stubborn = `sleep 100.${process.pid}`;
const twice = `trap '' TERM; ${stubborn} & ${stubborn}`;

/** How many of those are running. */
function stubbornCount(): number {
  const lines = execFileSync('ps', ['ax', '-o', 'stat,args'], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.replace(/^[^Z]\S* +/, '') === stubborn).length;
}

test('64 commands may run; endCommands() ends them all, also what does not heed it', { timeout: 60_000 }, async () => {
  const source = `commands = {} for i = 1, 100 do commands[i] = io.popen("${twice}", "w") end`;
  assert.match(
    await failLua(source, new Interpreter()),
    /^test\.lua:1: 64 commands are running, more are refused; wait for one: file:close\(\)$/,
  );
  await until('all of them to run', () => stubbornCount() === 128);
  await endCommands();
  await until('none of them to run', () => stubbornCount() === 0);
  // Each makes room when this process has taken note of its end.
  const another = await until('room for another', async () => {
    const { text, outcome } = startLua('print(os.execute("exit 3"))');
    return (await outcome).kind === 'done' && text();
  });
  assert.equal(another, '3\n');
});

test('an interrupted command that does not heed it is killed', { timeout: 30_000 }, async () => {
  const interpreter = new Interpreter();
  const { task, outcome } = startLua(`os.execute("${twice}")`, interpreter);
  await until('both to run', () => stubbornCount() === 2);
  interpreter.scheduler.interrupt(task);
  assert.deepEqual(await outcome, { kind: 'interrupted' });
  await until('none of them to run', () => stubbornCount() === 0);
});
