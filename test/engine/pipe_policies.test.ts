// What a pipe promises, in both directions: every row of the tables in native/pipe/README.md that needs no privileges.
// Packets are numbered, and an application in this process sends each of them, so that it is known which are lost.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { BricksError, openPipe, openPipeWriter, type PipeWriter, type PktEngine, type PortStats } from '../../index.ts';
import { assertAccounting, total } from '../support/accounting.ts';
import { numbered, numberedRingBytes, range, takeNumbers } from '../support/numbered.ts';
import { startPassing, usePipeFolder } from '../support/pipes.ts';
import { nodeArguments, type Program, run, start, until } from '../support/programs.ts';
import { pipeProgram } from '../support/readers.ts';

usePipeFolder();

/** 64 slots of 2048 bytes: the smallest ring. */
const ringBytes = 131_072;
const ringPackets = ringBytes / numberedRingBytes;

/** An engine between two pipes, `NAME}0` that is written and `NAMEout}0` that is read, and the writer of the first. */
interface Passage {
  readonly engine: PktEngine;
  readonly writer: PipeWriter;
  /** Sends packets on, and waits until the engine has received them. */
  send(first: number, count: number): Promise<void>;
  input(): PortStats;
  output(): PortStats;
}

let passages = 0;

async function makePassage(t: TestContext, inputOptions = '', outputOptions = ''): Promise<Passage & { name: string }> {
  const name = `policy${++passages}`;
  let engine: PktEngine | undefined;
  // Before the engine is deleted, as hooks run in the order in which they are made.
  t.after(() => {
    if (engine?.isRunning) engine.stop();
    if (engine !== undefined) assertAccounting(engine.stats(), engine.plan);
  });
  engine = startPassing(t, `${name}}0${inputOptions}`, `${name}out{0${outputOptions}`);
  const writer = await openPipeWriter(`${name}}0`);
  t.after(() => writer.close());
  const port = (i: number): PortStats => engine?.stats().ports[i] ?? assert.fail('no port');
  const send = async (first: number, count: number): Promise<void> => {
    await writer.send(numbered(first, count));
    await until('the engine to take them', () => writer.backlog === 0);
  };
  return { name: `${name}out}0`, engine, writer, send, input: () => port(0), output: () => port(1) };
}

/** Waits until the engine has taken note of its reader: this one's process, or none. */
async function noted(passage: Passage, pid = process.pid): Promise<void> {
  await until(`reader ${pid}`, () => passage.output().others.reader_pid === pid);
}

function child(t: TestContext, file: string, ...args: string[]): Program {
  return start(t, 'node', [...nodeArguments(`test/support/${file}`), ...args]);
}

test('full, live source: the newest packets are dropped, and what is in the ring stays', async (t) => {
  const passage = await makePassage(t, '?pausable=0');
  const pipe = await openPipe(passage.name);
  await noted(passage);
  await passage.send(0, ringPackets + 40);
  await until('all to be sent or dropped', () => passage.output().drops.pipe_full === 40);
  assert.equal(passage.output().txPackets, ringPackets);
  assert.equal(passage.output().others.used_bytes_max, ringBytes);
  assert.deepEqual(await takeNumbers(pipe, ringPackets), range(0, ringPackets));
  await passage.send(1000, 5);
  assert.deepEqual(await takeNumbers(pipe, 5), range(1000, 5));
  assert.deepEqual(pipe.counts(), { received: ringPackets + 5, dropped: 40 });
  assert.equal(total(passage.engine.stats().drops), 40);
  pipe.close();
});

test('full, pausable source: it waits, and nothing is lost', async (t) => {
  const passage = await makePassage(t);
  const pipe = await openPipe(passage.name);
  await noted(passage);
  const count = 5 * ringPackets;
  const sending = passage.send(0, count);
  await until('the ring to be full', () => passage.output().others.used_bytes === ringBytes);
  await until('the writer to wait', () => passage.writer.backlog > ringBytes / 2);
  assert.ok(passage.input().rxPackets < count, 'the source was not read to its end');
  assert.deepEqual(await takeNumbers(pipe, count), range(0, count));
  await sending;
  assert.equal(passage.engine.stats().dropped, 0);
  pipe.close();
});

for (const [options, output, expected] of [
  ['?pausable=0', '', 'dropped'],
  ['?pausable=1', '', 'dropped'],
  ['?pausable=0', '?wait=1', 'dropped'],
  ['?pausable=1', '?wait=1', 'kept'],
] as const) {
  test(`no reader, input ${options}, output ${output || 'as by default'}: packets are ${expected}`, async (t) => {
    const passage = await makePassage(t, options, output);
    await passage.send(0, 10);
    if (expected === 'dropped') await until('no_reader', () => passage.output().drops.no_reader === 10);
    const pipe = await openPipe(passage.name);
    await noted(passage);
    await passage.send(10, 10);
    const numbers = expected === 'kept' ? range(0, 20) : range(10, 10);
    assert.deepEqual(await takeNumbers(pipe, numbers.length), numbers);
    assert.equal(passage.engine.stats().dropped, 20 - numbers.length);
    pipe.close();
  });
}

test('a reader that leaves: what it has not given back is unread; the next one starts behind it', async (t) => {
  const passage = await makePassage(t, '?pausable=0');
  const first = await openPipe(passage.name, { batchPackets: 4 });
  await noted(passage);
  await passage.send(0, 20);
  assert.deepEqual(await takeNumbers(first, 8), range(0, 8));
  await first.next();
  first.close();
  await noted(passage, 0);
  assert.equal(passage.output().others.unread, 12);
  await passage.send(20, 5);
  await until('no_reader', () => passage.output().drops.no_reader === 5);
  const second = await openPipe(passage.name);
  await noted(passage);
  assert.deepEqual(second.counts(), { received: 0, dropped: 0 });
  await passage.send(25, 3);
  assert.deepEqual(await takeNumbers(second, 3), range(25, 3));
  assert.deepEqual([passage.output().others.attaches, passage.output().others.reader_faults], [2, 0]);
  second.close();
});

test('a reader that is killed: what it has not given back is unread; the next one starts behind it', async (t) => {
  const passage = await makePassage(t, '?pausable=0');
  const reader = child(t, 'reading_child.ts', passage.name, '2');
  await reader.until(/attached/);
  await noted(passage, reader.child.pid);
  await passage.send(0, 20);
  await reader.until(/holds its last batch/);
  reader.child.kill('SIGKILL');
  await noted(passage, 0);
  assert.equal(passage.output().others.unread, 16);
  assert.equal(passage.output().others.reader_faults, 0);
  const pipe = await openPipe(passage.name);
  await noted(passage);
  await passage.send(20, 3);
  assert.deepEqual(await takeNumbers(pipe, 3), range(20, 3));
  pipe.close();
});

test('a reader that stands still costs the others nothing', async (t) => {
  const passage = await makePassage(t, '?pausable=0');
  const other = await makePassage(t, '?pausable=0');
  const reader = child(t, 'reading_child.ts', passage.name, '1');
  await reader.until(/attached/);
  await noted(passage, reader.child.pid);
  reader.child.kill('SIGSTOP');
  const pipe = await openPipe(other.name);
  await noted(other);
  await passage.send(0, 2 * ringPackets);
  await other.send(0, 50);
  assert.deepEqual(await takeNumbers(pipe, 50), range(0, 50));
  await until('its own losses', () => passage.output().drops.pipe_full === ringPackets);
  pipe.close();
});

test('a writer that closes: what it wrote is still received, before what the next one writes', async (t) => {
  const passage = await makePassage(t, '', '?wait=1');
  await passage.send(0, 10);
  passage.writer.close();
  const next = await until('the place', () => openPipeWriter(passage.name.replace('out', '')).catch(() => undefined));
  const sending = next.send(numbered(10, 2 * ringPackets));
  const pipe = await openPipe(passage.name);
  assert.deepEqual(await takeNumbers(pipe, 10 + 2 * ringPackets), range(0, 10 + 2 * ringPackets));
  await sending;
  assert.equal(passage.input().others.unreceived, 0);
  assert.equal(passage.input().others.attaches, 2);
  next.close();
  pipe.close();
});

test('a writer that is stopped, then killed: all that it published is received', async (t) => {
  const passage = await makePassage(t, '', '?wait=1');
  passage.writer.close();
  const name = passage.name.replace('out', '');
  const writer = child(t, 'writing_child.ts', name, '0', '100');
  await writer.until(/wrote 100\n/);
  writer.child.kill('SIGSTOP');
  await assert.rejects(openPipeWriter(name), (error) => error instanceof BricksError && error.code === 'EBUSY');
  writer.child.kill('SIGKILL');
  const pipe = await openPipe(passage.name);
  assert.deepEqual(await takeNumbers(pipe, 100), range(0, 100));
  await until('its end', () => passage.input().others.writer_pid === 0);
  assert.deepEqual([passage.input().others.unreceived, passage.input().others.writer_faults], [0, 0]);
  pipe.close();
});

test('an engine that stops: its writer learns it, and what it did not receive is counted', async (t) => {
  const passage = await makePassage(t, '', '?wait=1');
  const packets = numbered(0, 10 * ringPackets);
  let written = 0;
  await until('everything to be full', () => {
    const more = passage.writer.write(packets, { from: written });
    written += more;
    return written > ringPackets && more === 0;
  });
  const waiting = passage.writer.drain();
  const ends = assert.rejects(waiting, (error) => error instanceof BricksError && error.code === 'PIPE_ENDED');
  passage.engine.stop();
  await ends;
  const stats = passage.engine.stats();
  assert.equal((passage.input().others.unreceived ?? 0) + passage.input().rxPackets, written);
  assert.equal(stats.drops.stopped, passage.input().rxPackets);
  assert.throws(() => passage.writer.write(packets), /./);
});

test("a writer that declines: the count is the engine's, also when it leaves", async (t) => {
  const passage = await makePassage(t);
  passage.writer.decline(7);
  await until('seven', () => passage.input().others.declined === 7);
  passage.writer.decline(5);
  passage.writer.close();
  await until('twelve', () => passage.input().others.declined === 12);
  assert.equal(passage.input().rxPackets, 0);
});

test("slots: rounded up to a power of two, for each pipe, and as the engine's where it does not say", async (t) => {
  for (const [options, bytes] of [
    ['', ringBytes],
    ['?slots=64', ringBytes],
    ['?slots=65', 2 * ringBytes],
    ['?slots=1000', 1024 * 2048],
    ['?slots=1024', 1024 * 2048],
  ] as const) {
    const { input, output } = await makePassage(t, options, options);
    assert.deepEqual([input().others.ring_bytes, output().others.ring_bytes], [bytes, bytes], options);
  }
  for (const slots of ['63', '524289', '100.5', '-1', '']) {
    for (const [from, to] of [
      [`bounds}0?slots=${slots}`, 'null:'],
      ['null:?packets=1', `bounds{0?slots=${slots}`],
    ] as const)
      assert.throws(() => startPassing(t, from, to), /^[^\n]*slots[^\n]*64[^\n]*524288[^\n]*$/s, slots);
  }
});

test('who is attached: by process id in the counters, by program in the list', async (t) => {
  const passage = await makePassage(t);
  const pipe = await openPipe(passage.name);
  await noted(passage);
  await until('the writer', () => passage.input().others.writer_pid === process.pid);
  const self = { pid: process.pid, program: readFileSync('/proc/self/comm', 'utf8').trim() };
  assert.deepEqual([passage.input().application, passage.output().application], [self, self]);
  const rows = run(pipeProgram, ['--list']).split('\n');
  const row = (name: string): string => rows.find((line) => line.startsWith(`${name} `)) ?? assert.fail(name);
  assert.match(row(passage.name), new RegExp(` out .* ${process.pid} node `));
  assert.match(row(passage.name.replace('out', '')), new RegExp(` in .* ${process.pid} node `));
  pipe.close();
  await noted(passage, 0);
  assert.equal('application' in passage.output(), false);
});
