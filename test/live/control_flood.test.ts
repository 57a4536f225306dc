// The control socket under attack while the daemon carries traffic: an interface balanced over four pipes that real
// programs read, and a generator at full speed. A client that behaves keeps getting right answers, every packet is
// accounted for, and descriptors and memory are given back.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Graph } from '../../engine/snapshot.ts';
import type { Snapshot } from '../../shell/protocol/messages.ts';
import { assertAccounting, type Wiring } from '../support/accounting.ts';
import { assertSubsequence, frameText, type Packet, timed, writeCapture } from '../support/capture.ts';
import type { WireClient } from '../support/control_wire.ts';
import { Runtime } from '../support/daemon.ts';
import { attacks, eatMemory } from '../support/flood.ts';
import { watchLeaks } from '../support/leaks.ts';
import { engineInterface, makeLiveBed, readersOf, sendInterface } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { buildPacket } from '../support/packets.ts';
import { start, until } from '../support/programs.ts';
import { startReader } from '../support/readers.ts';

const pipes = [0, 1, 2, 3].map((i) => `${engineInterface}}${i}`);

const script = `
  wire = PktEngine.new("wire", 8192)
  wire:link(Brick.new("LoadBalancer", 4):connect_input("${engineInterface}"):connect_outputs("${engineInterface}", 4))
  wire:start()
  full = PktEngine.new("full", 64)
  full:link(Brick.new("LoadBalancer", 2):connect_input("null:?frames=60"):connect_output("null:", "idle{0"))
  full:start()`;

/** Frames of distinct content, of some two hundred connections. */
function makeFrames(count: number): Packet[] {
  return timed(
    Array.from({ length: count }, (_, i) => {
      const host = `10.0.${i % 5}.${i % 41}`;
      const flow = { source: host, destination: '10.9.9.9', protocol: 'udp', sourcePort: 1000 + (i % 205) } as const;
      return buildPacket({ ...flow, destinationPort: 53 }, { payload: Buffer.from(`packet ${i}`.padEnd(60)) });
    }),
  );
}

async function snapshotOf(client: WireClient): Promise<Snapshot> {
  return (await client.request('stats')).snapshot as unknown as Snapshot;
}

async function engineOf(client: WireClient, name: string): Promise<Snapshot['engines'][number]> {
  const engine = (await snapshotOf(client)).engines.find(({ stats }) => stats.engine === name);
  return engine ?? assert.fail(`no engine ${name}`);
}

/** Who feeds whom, from the graph that clients get. */
function wiringOf({ inputs, outputs, edges }: Graph): Wiring {
  const split = (port: string): { driver: string; name: string } => {
    const [driver = '', ...name] = port.split(':');
    return { driver, name: name.join(':') };
  };
  return {
    inputs: inputs.map(({ port, brick }) => ({ ...split(port), brick })),
    outputs: outputs.map(({ port, brick, output }) => ({ ...split(port), brick, output })),
    edges,
  };
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** A client that behaves, and looks at every answer, until it is told to stop. */
class Witness {
  readonly #client: WireClient;
  readonly #done: Promise<void>;
  #isOver = false;
  answers = 0;

  constructor(client: WireClient) {
    this.#client = client;
    this.#done = this.#ask();
    // What it fails with is seen at the end.
    this.#done.catch(() => undefined);
  }

  async #ask(): Promise<void> {
    while (!this.#isOver) {
      const n = this.answers + 1;
      assert.equal(await this.#client.value(`${n} * 3, ("%d"):format(${n})`), `${n * 3} ${n}`);
      const before = (await engineOf(this.#client, 'full')).stats.rxPackets;
      const after = (await engineOf(this.#client, 'full')).stats.rxPackets;
      assert.ok(after >= before, 'counters grow');
      this.answers++;
    }
  }

  /** Waits for answers to questions that are asked from now on. */
  async getsAnswers(what: string): Promise<void> {
    const before = this.answers;
    await Promise.race([until(`answers ${what}`, () => this.answers > before + 2), this.#done]);
    assert.ok(this.answers > before + 2, `answers ${what}`);
  }

  end(): Promise<void> {
    this.#isOver = true;
    return this.#done;
  }
}

test('attacks on the control socket while traffic runs', { skip: skipLive('tcpreplay', 'tcpdump') }, async (t) => {
  const noLeaks = watchLeaks();
  await t.test('everybody else is served as if there were none', async (t) => {
    const bed = makeLiveBed(t);
    const runtime = new Runtime(t, bed.receiver);
    const pid = runtime.startDaemon(['-f', runtime.script(script)]);
    const good = await runtime.client(t);
    const readers = pipes.map((pipe, i) => startReader(t, pipe, join(bed.folder, `${i}.pcap`), runtime.folder));
    await until('four readers', async () => readersOf((await engineOf(good, 'wire')).stats) === 4);
    const packets = makeFrames(20_000);
    const file = join(bed.folder, 'in.pcap');
    writeCapture(file, packets);
    const line = bed.sender.inside(
      'tcpreplay',
      '-q',
      '--timer=nano',
      '--pps=2000',
      '--preload-pcap',
      '-i',
      sendInterface,
      file,
    );
    const sender = start(t, line.command, line.args);
    const witness = new Witness(await runtime.client(t, { program: 'witness' }));
    await witness.getsAnswers('before the first attack');

    const before = { descriptors: descriptors(pid), memory: residentMiB(pid) };
    const settled = async (what: string): Promise<void> => {
      await witness.getsAnswers(`after ${what}`);
      await until(`two clients after ${what}`, async () => (await snapshotOf(good)).clients === 2);
      await until(`${before.descriptors} descriptors after ${what}`, () => descriptors(pid) === before.descriptors);
    };
    for (const [what, attack] of Object.entries(attacks)) {
      try {
        await attack(t, runtime, good);
        await settled(what);
      } catch (error) {
        throw new Error(`${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
    const grown = residentMiB(pid) - before.memory;
    assert.ok(grown < 250, `it keeps ${grown} MiB more than before`);
    await eatMemory(t, runtime, good);
    await settled('scripts that eat memory');
    await witness.end();

    assert.deepEqual(await sender.ended(), { code: 0, signal: null }, sender.output());
    const link = (): string => bed.receiver.run('ip', '-s', 'link', 'show', engineInterface);
    let last: unknown;
    const isThere = async (): Promise<boolean> => {
      const { stats } = await engineOf(good, 'wire');
      last = stats;
      return stats.rxPackets + stats.lost === packets.length && stats.inFlight === 0;
    };
    await until(`${packets.length} packets`, isThere).catch((error) => {
      assert.fail(`${error}; ${sender.output()}; ${link()}; ${JSON.stringify(last)}`);
    });
    assert.equal(await good.value('wire:stop() full:stop() return "stopped"'), 'stopped');
    const [wire, full] = [await engineOf(good, 'wire'), await engineOf(good, 'full')];
    for (const { stats, graph } of [wire, full]) {
      assertAccounting(stats, wiringOf(graph));
      assert.equal(stats.inFlight, 0);
    }
    const { txPackets, dropped, lost } = wire.stats;
    assert.equal(txPackets + dropped + lost, packets.length, 'sent on, dropped by name, or lost by the interface');
    // What a busy host costs is named; the attacks themselves cost nothing that would show.
    assert.ok(dropped + lost < packets.length / 10, JSON.stringify(wire.stats));
    if (dropped + lost > 0) t.diagnostic(`${lost} packets lost, ${JSON.stringify(wire.stats.drops)} dropped`);
    assert.ok(full.stats.rxPackets > 1_000_000, `${full.stats.rxPackets} packets at full speed`);
    assert.ok((full.stats.drops.no_reader ?? 0) > 0, JSON.stringify(full.stats));
    const written = await Promise.all(readers.map((reader) => reader.packets()));
    for (const [i, got] of written.entries()) {
      assertSubsequence(got, packets, `pipe ${i}: nothing new, nothing damaged, in order`, frameText);
      const port = wire.stats.ports.find(({ name, role }) => role === 'output' && name === pipes[i]);
      assert.equal(got.length, port?.txPackets, `pipe ${i}: what was sent to it`);
    }
    assert.equal(new Set(written.flat().map(frameText)).size, txPackets, 'each packet in one pipe');
    assert.equal(runtime.run('bricks_kill_server').status, 0);
    assert.doesNotMatch(runtime.logText(), /internal error/);
  });
  await noLeaks();
});
