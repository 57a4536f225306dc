// What chunks and their commands print: no faster than it is read, and nowhere else.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Interpreter } from '../../lua/interpreter.ts';
import { makeFolder } from '../support/files.ts';
import { runLua, startLua } from '../support/lua_run.ts';
import { projectFolder } from '../support/programs.ts';

/** A reader that takes nothing until it is told to. */
class SlowReader {
  #promise: Promise<void> | undefined;
  #resolve: () => void = () => {};

  /** Has it lag behind from now on. */
  lag(): void {
    this.#promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  catchUp(): void {
    this.#promise = undefined;
    this.#resolve();
  }

  readonly room = (): Promise<void> | undefined => this.#promise;
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

test('a chunk prints no further while its reader lags behind, and goes on when there is room', async () => {
  const reader = new SlowReader();
  reader.lag();
  const interpreter = new Interpreter();
  const run = startLua('for i = 1, 1e5 do print(i) end return "end"', interpreter, { room: reader.room });
  await turns(50);
  const atFirst = run.text();
  // A few lines, as many as are printed until the next instruction is looked at: not a slice's worth.
  assert.match(atFirst, /^1\n(2\n)?$/);
  assert.equal(await runLua('print("other")', interpreter), 'other\n');
  assert.equal(run.text(), atFirst);
  reader.catchUp();
  assert.equal((await run.outcome).kind, 'done');
  assert.equal(run.text().split('\n').length, 1e5 + 1);
});

test('io.write and io.stderr wait for their reader too, in coroutines as well', async () => {
  for (const call of ['io.write("x\\n")', 'io.stderr:write("x\\n")', 'coroutine.wrap(print)("x")']) {
    const reader = new SlowReader();
    reader.lag();
    const run = startLua(`for i = 1, 1000 do ${call} end`, new Interpreter(), { room: reader.room });
    await turns(50);
    assert.match(run.text(), /^x\n(x\n)?$/, call);
    reader.catchUp();
    assert.equal((await run.outcome).kind, 'done');
    assert.equal(run.text().length, 2000);
  }
});

test('a chunk that waits for its reader is interrupted', { timeout: 20_000 }, async () => {
  for (const source of ['while true do print(1) end', 'while true do pcall(print, 1) end', 'os.execute("yes")']) {
    const reader = new SlowReader();
    reader.lag();
    const interpreter = new Interpreter();
    const run = startLua(source, interpreter, { room: reader.room });
    while (run.text() === '') await delay(5);
    interpreter.scheduler.interrupt(run.task);
    assert.equal((await run.outcome).kind, 'interrupted', source);
  }
});

test('where no wait is possible, printing goes on', async () => {
  const reader = new SlowReader();
  reader.lag();
  const run = startLua('string.gsub("abc", ".", print) return 1', new Interpreter(), { room: reader.room });
  await turns(20);
  assert.equal(run.text(), 'a\nb\nc\n');
  reader.catchUp();
  assert.equal((await run.outcome).kind, 'done');
});

test('what commands print goes to the chunk that runs them, and they have no input', async () => {
  const text = await runLua(`
    print(os.execute("echo out; echo err >&2; exit 3"))
    print(os.execute("cat"))
    print(io.popen("echo piped; echo beside >&2"):read("a"))
    local p = io.popen("cat; echo after", "w") p:write("given\\n") print(p:close())
  `);
  assert.equal(text, 'out\nerr\n3\n0\nbeside\npiped\n\ngiven\nafter\ntrue\texit\t0\n');
});

test('a command that prints much waits for the reader, and all of it arrives', { timeout: 20_000 }, async () => {
  const reader = new SlowReader();
  reader.lag();
  const run = startLua('return os.execute("seq 200000")', new Interpreter(), { room: reader.room });
  await delay(200);
  // One piece of each read: not megabytes.
  assert.ok(run.text().length < 200_000, `${run.text().length} bytes`);
  reader.catchUp();
  assert.equal((await run.outcome).kind, 'done');
  assert.equal(run.text(), Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join(''));
});

test('a process that is left behind holds nobody up', { timeout: 20_000 }, async () => {
  const run = startLua('return os.execute("echo begun; sleep 30 & echo $!")');
  const outcome = await run.outcome;
  const [begun, pid] = run.text().split('\n');
  process.kill(Number(pid));
  assert.equal(begun, 'begun');
  assert.deepEqual(outcome, { kind: 'done', values: [{ text: '0', isObject: false }] });
});

test("commands share the program's own streams where its output is that", async (t) => {
  const script = join(makeFolder(t), 'shared.ts');
  writeFileSync(
    script,
    `import { Interpreter } from '${projectFolder}/lua/interpreter.ts';
     const compiled = new Interpreter().compile('os.execute("echo shared; echo beside >&2; test -t 0 || cat")', 'x');
     const fail = () => { throw new Error('not here'); };
     if (compiled.kind === 'compiled') compiled.start({ out: fail, err: fail, isProcessOutput: true });`,
  );
  const running = promisify(execFile)(process.execPath, ['--import', 'tsx', script], { cwd: projectFolder });
  running.child.stdin?.end('input\n');
  assert.deepEqual(await running, { stdout: 'shared\ninput\n', stderr: 'beside\n' });
});
