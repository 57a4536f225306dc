// The daemon is killed with SIGKILL while applications read its pipes: each comes to the end of its stream, whether it
// slept or was in the midst of traffic; the daemon that is started again serves pipes of the same names.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Runtime } from '../support/daemon.ts';
import { type Program, run, start, until } from '../support/programs.ts';
import { pipeProgram } from '../support/readers.ts';

/** One engine that sends without end, one whose source has ended: its reader sleeps. */
const script = `
busy = PktEngine.new("busy")
busy:link(Brick.new("Dummy"):connect_input("null:"):connect_output("busy{0?wait=1"))
quiet = PktEngine.new("quiet")
quiet:link(Brick.new("Dummy"):connect_input("null:?packets=10"):connect_output("quiet{0?wait=1"))
busy:start()
quiet:start()
`;
const pipes = ['busy}0', 'quiet}0'];

function startReaders(t: TestContext, runtime: Runtime): Program[] {
  return pipes.map((pipe) => start(t, pipeProgram, [pipe], { env: runtime.env, stdio: ['ignore', 'ignore', 'pipe'] }));
}

/** What bricks-pipe --list says of these readers: each has had packets. */
async function untilReading(runtime: Runtime, readers: readonly Program[]): Promise<void> {
  await until('every reader to have read', () => {
    const lines = run('env', [`BRICKS_RUNTIME_DIR=${runtime.folder}`, pipeProgram, '--list']).split('\n');
    return readers.every(({ child }, i) =>
      lines.some((line) => {
        const words = line.split(/\s+/);
        const packets = Number(words.at(-2));
        return words[0] === pipes[i] && words.includes(String(child.pid)) && packets >= 10;
      }),
    );
  });
}

test('readers of a daemon that is killed see the end of the stream; they find the next daemon by name', async (t) => {
  const runtime = new Runtime(t);
  const file = runtime.script(script);
  for (let round = 0; round < 2; round++) {
    runtime.startDaemon(['-f', file]);
    const readers = startReaders(t, runtime);
    await untilReading(runtime, readers);
    await runtime.kill('SIGKILL');
    for (const [i, reader] of readers.entries()) {
      assert.deepEqual(await reader.ended(), { code: 0, signal: null }, `${pipes[i]}: ${reader.output()}`);
    }
    const late = start(t, pipeProgram, ['busy}0'], { env: runtime.env, stdio: ['ignore', 'ignore', 'pipe'] });
    assert.equal((await late.ended()).code, 1, 'nobody serves it now');
    assert.match(late.output(), /^bricks-pipe: pipe "busy\}0": no engine serves it at [^\n]+\n$/);
  }
});
