// An application between two interfaces, and between two captures: an engine's pipe leads to it, another back. What enters
// one veth pair leaves the other, packet by packet; and whatever happens to the application, every packet is accounted for.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type EngineStats, openPipe, type PortStats } from '../../index.ts';
import { assertSubsequence, frameText, type Packet, readCapture, timed, writeCapture } from '../support/capture.ts';
import { type EngineDescription, type EngineProcess, startEngines } from '../support/engine_process.ts';
import { buildExample } from '../support/examples.ts';
import { demoCapture } from '../support/files.ts';
import { watchLeaks } from '../support/leaks.ts';
import { engineInterface, type LiveBed, makeLiveBed, replay } from '../support/live_bed.ts';
import { connect, makeNamespace, type Namespace, skipLive } from '../support/netns.ts';
import { buildPacket, type Flow } from '../support/packets.ts';
import { readAll } from '../support/pipes.ts';
import { nodeArguments, type Program, run, start, until } from '../support/programs.ts';
import { runProgram } from '../support/readers.ts';

const skip = skipLive('tcpreplay', 'tcpdump', 'cc', 'ping');

/** The engine's second interface, and the one across. */
const [outInterface, receiveInterface] = ['out0', 'rx0'];

interface InlineBed extends LiveBed {
  /** Where packets arrive that have gone through. */
  readonly beyond: Namespace;
}

function makeInlineBed(t: TestContext): InlineBed {
  const bed = makeLiveBed(t);
  const beyond = makeNamespace(t, 'beyond');
  connect(bed.receiver, outInterface, beyond, receiveInterface);
  return { ...bed, beyond };
}

/** The way there and the way back: of one engine, or of one each. Ring and pipe hold all that is sent, whoever gets the processor. */
const there = {
  brick: { type: 'Dummy', inputs: [`packet:${engineInterface}?ring_mb=64`], outputs: ['in{0?slots=4096'] },
};
const back = { brick: { type: 'Dummy', inputs: ['app}0'], outputs: [`packet:${outInterface}`] } };
const layouts: Readonly<Record<string, readonly EngineDescription[]>> = {
  'one engine': [{ name: 'e0', links: [there, back] }],
  'two engines': [
    { name: 'e0', links: [there] },
    { name: 'e1', links: [back] },
  ],
};

type Application = (t: TestContext, bed: LiveBed, from: string, to: string) => Program;

function startApplication(t: TestContext, bed: LiveBed, line: readonly string[]): Program {
  const env = { ...process.env, BRICKS_RUNTIME_DIR: bed.runtimeFolder };
  return start(t, line[0] ?? '', line.slice(1), { env });
}

const applications: Readonly<Record<string, Application>> = {
  C: (t, bed, from, to) => startApplication(t, bed, [buildExample('inline', bed.folder), from, to]),
  JavaScript: (t, bed, from, to) => {
    return startApplication(t, bed, ['node', ...nodeArguments('test/support/inline_app.ts'), from, to]);
  },
  libpcap: (t, bed, from, to) => {
    const program = join(bed.folder, 'inline_pcap');
    run('cc', ['-Wall', '-Wextra', '-Werror', 'test/support/inline_pcap.c', '-lpcap', '-o', program]);
    return startApplication(t, bed, [runProgram, program, from, to]);
  },
};

/** The port of an engine by its name. */
function port(stats: EngineStats, name: string): EngineStats['ports'][number] {
  return stats.ports.find((candidate) => candidate.port === name) ?? assert.fail(`no port ${name}`);
}

/** Waits until the application is at the end of both pipes. */
async function attached(engines: EngineProcess, reading: string, writing: string): Promise<void> {
  await engines.statsUntil(reading, 'a reader', (stats) => (port(stats, 'pipe:in}0').others.reader_pid ?? 0) > 0);
  await engines.statsUntil(writing, 'a writer', (stats) => (port(stats, 'inject:app}0').others.writer_pid ?? 0) > 0);
}

/** Every length that an interface takes, and none that the example in C declines. */
function frames(count: number): Packet[] {
  const flow: Flow = {
    protocol: 'tcp',
    source: '10.7.0.1',
    destination: '10.7.0.2',
    sourcePort: 1,
    destinationPort: 80,
  };
  const built = Array.from({ length: count }, (_, i) =>
    buildPacket({ ...flow, sourcePort: 1 + (i % 60_000) }, { payload: 6 + ((i * 131) % 1440) }),
  );
  return timed(built);
}

/** tcpdump beyond, listening already. */
async function startCapture(t: TestContext, bed: InlineBed, file: string): Promise<Program> {
  const line = [
    'tcpdump',
    '-n',
    '-U',
    '--immediate-mode',
    '-B',
    '16384',
    '-s',
    '2048',
    '-i',
    receiveInterface,
    '-w',
    file,
  ];
  const { command, args } = bed.beyond.inside(...line);
  const program = start(t, command, args);
  await program.until(/listening on/);
  return program;
}

/** Ends tcpdump once it has seen `count` packets; what it wrote. */
async function endCapture(capture: Program, file: string, count: number): Promise<readonly Packet[]> {
  const size = (): number => {
    try {
      return readCapture(file).packets.length;
    } catch {
      return 0; // in the middle of a record
    }
  };
  await until(`${count} packets beyond`, () => size() >= count);
  await capture.interrupt();
  return readCapture(file).packets;
}

for (const [layout, engines] of Object.entries(layouts)) {
  for (const [language, startProgram] of Object.entries(applications)) {
    test(`through an application in ${language}, ${layout}: same packets, same order`, { skip }, async (t) => {
      const noLeaks = watchLeaks();
      await t.test('inline', async (t) => {
        const bed = makeInlineBed(t);
        const [sent, got] = [join(bed.folder, 'sent.pcap'), join(bed.folder, 'got.pcap')];
        const packets = [...frames(1500), ...readCapture(demoCapture).packets.filter(({ data }) => !isDns(data))];
        writeCapture(sent, packets);
        const capture = await startCapture(t, bed, got);
        const engineProcess = startEngines(t, { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder }, engines);
        assert.equal(await engineProcess.started(), undefined);
        const [reading = '', writing = reading] = engines.map(({ name }) => name);
        const program = startProgram(t, bed, 'in}0', 'app}0');
        await attached(engineProcess, reading, writing);
        replay(bed, [sent]);
        const sum = (stats: EngineStats): boolean => port(stats, `packet:${outInterface}`).txPackets === packets.length;
        await engineProcess.statsUntil(
          reading,
          'every packet in',
          (stats) => port(stats, `packet:${engineInterface}`).rxPackets === packets.length,
        );
        await engineProcess.statsUntil(writing, 'every packet out', sum);
        const received = await endCapture(capture, got, packets.length);
        assert.deepEqual(received.map(frameText), packets.map(frameText));
        const stats = [
          await engineProcess.stop(reading),
          writing === reading ? undefined : await engineProcess.stop(writing),
        ];
        const [first, last = first] = stats as [EngineStats, EngineStats | undefined];
        assert.equal(port(first, 'pipe:in}0').txPackets, packets.length);
        assert.deepEqual([first.dropped, last.dropped], [0, 0]);
        const { declined, unreceived, attaches, writer_pid } = port(last, 'inject:app}0').others;
        assert.deepEqual(
          { declined, unreceived, attaches, writer_pid },
          { declined: 0, unreceived: 0, attaches: 1, writer_pid: 0 },
        );
        assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.output());
        await engineProcess.quit();
      });
      await noLeaks();
    });
  }
}

/** As the example in C sees it. */
function isDns(frame: Buffer): boolean {
  return frame.length >= 42 && frame[23] === 17 && [frame.readUInt16BE(34), frame.readUInt16BE(36)].includes(53);
}

test('ping goes through applications in both directions', { skip }, async (t) => {
  const bed = makeInlineBed(t);
  const sides = [
    { space: bed.sender, name: 'tx0', address: '10.9.0.1/24' },
    { space: bed.beyond, name: receiveInterface, address: '10.9.0.2/24' },
  ];
  for (const { space, name, address } of sides)
    space.run('sh', '-c', `ip addr add ${address} dev ${name}; ip link set ${name} arp on`);
  const ends = [engineInterface, outInterface];
  const engines = startEngines(
    t,
    { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder },
    ends.map((end, i) => ({
      name: `e${i}`,
      links: [
        { brick: { type: 'Dummy', inputs: [end], outputs: [`side${i}{0`] } },
        { brick: { type: 'Dummy', inputs: [`to${i}}0`], outputs: [end] } },
      ],
    })),
  );
  assert.equal(await engines.started(), undefined);
  const program = buildExample('inline', bed.folder);
  const running = [0, 1].map((i) => startApplication(t, bed, [program, `side${i}}0`, `to${1 - i}}0`]));
  await engines.statsUntil('e0', 'a writer', (stats) => (port(stats, 'inject:to0}0').others.writer_pid ?? 0) > 0);
  await engines.statsUntil('e1', 'a writer', (stats) => (port(stats, 'inject:to1}0').others.writer_pid ?? 0) > 0);
  assert.match(
    bed.sender.run('ping', '-n', '-c', '5', '-i', '0.2', '-W', '10', '10.9.0.2'),
    /5 packets transmitted, 5 received/,
  );
  for (const name of ['e0', 'e1']) assert.equal((await engines.stop(name)).dropped, 0);
  for (const one of running) assert.deepEqual(await one.ended(), { code: 0, signal: null }, one.output());
  await engines.quit();
});

/** An engine that reads a capture for the application, and one that takes what comes back to a slow reader. */
function startBetweenCaptures(t: TestContext, bed: LiveBed, file: string, inputOptions: string): EngineProcess {
  return startEngines(t, { runtimeFolder: bed.runtimeFolder }, [
    {
      name: 'e0',
      bufferSlots: 64,
      links: [{ brick: { type: 'Dummy', inputs: [`pcap:${file}`], outputs: ['in{0?wait=1'] } }],
    },
    {
      name: 'e1',
      bufferSlots: 64,
      links: [{ brick: { type: 'Dummy', inputs: [`app}0${inputOptions}`], outputs: ['slow{0?wait=1'] } }],
    },
  ]);
}

for (const isPausable of [true, false]) {
  const name = isPausable ? 'waits for it: nothing is lost' : 'with ?pausable=0 drops what its ring cannot take';
  test(`a slow reader behind the application: the engine ${name}`, { skip }, async (t) => {
    const bed = makeInlineBed(t);
    const file = join(bed.folder, 'sent.pcap');
    const packets = frames(3000);
    writeCapture(file, packets);
    process.env.BRICKS_RUNTIME_DIR = bed.runtimeFolder;
    const engines = startBetweenCaptures(t, bed, file, isPausable ? '' : '?pausable=0');
    assert.equal(await engines.started(), undefined);
    const slow = await openPipe('slow}0');
    await engines.statsUntil(
      'e1',
      'the reader',
      (stats) => port(stats, 'pipe:slow}0').others.reader_pid === process.pid,
    );
    const program = startApplication(t, bed, [buildExample('inline', bed.folder), 'in}0', 'app}0']);
    const ring = (stats: EngineStats): PortStats => port(stats, 'pipe:slow}0');
    if (isPausable) {
      // The reader's ring, the one that the application writes, and the one that it reads fill, one after the other.
      const waits = (stats: EngineStats): boolean => (port(stats, 'pipe:in}0').others.used_bytes ?? 0) > 100_000;
      await engines.statsUntil('e1', 'a full ring', (stats) => (ring(stats).others.used_bytes_max ?? 0) > 100_000);
      assert.ok((await engines.statsUntil('e0', 'the capture to wait', waits)).rxPackets < packets.length);
    } else {
      await engines.statsUntil('e1', 'all of it', (stats) => stats.rxPackets === packets.length);
    }
    const reading = readAll(slow);
    assert.equal(await engines.wait('e0'), true);
    const last = await engines.statsUntil(
      'e1',
      'all of it',
      (stats) => stats.rxPackets === packets.length && stats.inFlight === 0,
    );
    const stats = [await engines.stop('e0'), await engines.stop('e1')] as const;
    const got = await reading;
    assert.deepEqual(await program.ended(), { code: 0, signal: null }, program.output());
    const dropped = isPausable ? 0 : (ring(last).drops.pipe_full ?? 0);
    assert.equal(dropped > 0, !isPausable);
    assert.deepEqual([stats[0].dropped, stats[1].dropped, got.length], [0, dropped, packets.length - dropped]);
    // The newest are dropped: what is left stands in the order in which it was sent.
    assertSubsequence(got, packets, 'behind the slow reader');
    await engines.quit();
  });
}

test('an application that is killed, and started anew: the stream goes on, and every packet is accounted for', {
  skip,
}, async (t) => {
  const bed = makeInlineBed(t);
  const [sent, got] = [join(bed.folder, 'sent.pcap'), join(bed.folder, 'got.pcap')];
  const packets = frames(500);
  writeCapture(sent, packets);
  const capture = await startCapture(t, bed, got);
  const engines = startEngines(
    t,
    { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder },
    layouts['one engine'] ?? [],
  );
  assert.equal(await engines.started(), undefined);
  const line = [buildExample('inline', bed.folder), 'in}0', 'app}0'];
  const passes = async (count: number): Promise<void> => {
    replay(bed, [sent]);
    await engines.statsUntil(
      'e0',
      `${count} packets`,
      (stats) => port(stats, `packet:${outInterface}`).txPackets === count,
    );
  };
  const first = startApplication(t, bed, line);
  await attached(engines, 'e0', 'e0');
  await passes(500);

  first.child.kill('SIGSTOP');
  replay(bed, [sent]);
  await engines.statsUntil('e0', 'what it does not read', (stats) => port(stats, 'pipe:in}0').txPackets === 1000);
  first.child.kill('SIGKILL');
  const gone = ({ others }: PortStats): boolean => (others.reader_pid ?? others.writer_pid) === 0;
  await engines.statsUntil('e0', 'its end', (stats) => stats.ports.filter(gone).length === 2);
  replay(bed, [sent]);
  await engines.statsUntil('e0', 'no reader', (stats) => port(stats, 'pipe:in}0').drops.no_reader === 500);

  const second = startApplication(t, bed, line);
  await attached(engines, 'e0', 'e0');
  await passes(1000);
  const received = await endCapture(capture, got, 1000);
  assert.deepEqual(received.map(frameText), [...packets, ...packets].map(frameText));
  const stats = await engines.stop('e0');
  assert.deepEqual(stats.drops.no_reader, 500);
  const { unread, attaches } = port(stats, 'pipe:in}0').others;
  const { unreceived, declined } = port(stats, 'inject:app}0').others;
  assert.deepEqual(
    { unread, attaches, unreceived, declined },
    { unread: 500, attaches: 2, unreceived: 0, declined: 0 },
  );
  assert.deepEqual(await second.ended(), { code: 0, signal: null }, second.output());
  await engines.quit();
});
