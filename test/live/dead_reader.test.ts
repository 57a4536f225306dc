// Readers that are killed and come back, with on_dead = "rehash": their flows are shared by the others meanwhile, as a
// model of rendezvous hashing says, and return; no other flow moves, and every packet is accounted for.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Brick, openPipe, openPipeWriter, PktEngine } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import { assertEven, flow4, flow6, indices } from '../support/balancing.ts';
import { frameText, readCapture } from '../support/capture.ts';
import { engineName } from '../support/engines.ts';
import { makeFolder } from '../support/files.ts';
import { pipeStats } from '../support/live_bed.ts';
import { buildPacket } from '../support/packets.ts';
import { usePipeFolder } from '../support/pipes.ts';
import { skipWithout, until } from '../support/programs.ts';
import { type Reader, startReader } from '../support/readers.ts';

const runtimeFolder = usePipeFolder();
const skip = skipWithout('tcpdump');

const outputs = 4;
const flows = indices(600).map((i) => (i % 2 === 0 ? flow4 : flow6)(i, i % 3 === 0 ? 'udp' : 'tcp'));

/** A frame of each flow that no other round has. */
function roundFrames(round: number): Buffer[] {
  return flows.map((flow) => buildPacket(flow, { payload: Buffer.from(`round ${round}`) }));
}

// ------------------------------------------------------------------------------------------ the model

const mask = (1n << 64n) - 1n;

/** The finalizer of splitmix64. */
function mix(x: bigint): bigint {
  let value = x;
  value = ((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
  value = ((value ^ (value >> 27n)) * 0x94d049bb133111ebn) & mask;
  return value ^ (value >> 31n);
}

/** Where a flow with that hash is while these outputs are read. */
function modelOf(hash: number, weights: readonly number[], living: ReadonlySet<number>): number {
  const bucket = hash >>> 16;
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let end = 0;
  const home = weights.findIndex((weight) => {
    end += weight;
    return bucket < (65536 * end) / sum;
  });
  if (living.has(home) || living.size === 0) return home;
  const score = (output: number): number => {
    const drawn = Number(mix((BigInt(output) << 32n) | BigInt(bucket)) >> 32n);
    return (weights[output] ?? 0) / -Math.log((drawn + 0.5) / 2 ** 32);
  };
  return [...living].reduce((best, output) => (score(output) > score(best) ? output : best));
}

/** The flow hash of each flow, as a pipe tells it: by the 5-tuple. */
async function hashesOf(t: TestContext): Promise<number[]> {
  const engine = new PktEngine(engineName());
  t.after(() => engine.delete());
  engine.link(new Brick('Dummy').connectInput('hash}0').connectOutput('hashed{0')).start();
  const pipe = await openPipe('hashed}0');
  const writer = await openPipeWriter('hash}0');
  await writer.send(roundFrames(0));
  const hashes: number[] = [];
  for await (const batch of pipe) {
    for (const packet of batch) hashes.push(packet.flowHash);
    if (hashes.length === flows.length) break;
  }
  writer.close();
  pipe.close();
  engine.stop();
  return hashes;
}

// ------------------------------------------------------------------------------------------ the bed

/** An engine that balances what a test writes over pipes, each read by a program of its own. */
class Bed {
  readonly engine: PktEngine;
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #readers: Reader[][] = indices(outputs).map(() => []);
  #sentBytes = 0;

  constructor(t: TestContext, weights: readonly number[] | undefined) {
    this.#t = t;
    this.#folder = makeFolder(t);
    this.engine = new PktEngine(engineName());
    t.after(() => {
      if (this.engine.isRunning) this.engine.stop();
      this.engine.delete();
    });
    const options = { tuple: 5, on_dead: 'rehash', ...(weights === undefined ? {} : { weights }) };
    const brick = new Brick('LoadBalancer', options).connectInput('feed}0').connectOutputs('share', outputs);
    this.engine.link(brick).start();
  }

  #readerPid(output: number): number {
    return pipeStats(this.engine.stats(), `share}${output}`).others.reader_pid ?? 0;
  }

  async start(output: number): Promise<void> {
    const list = this.#readers[output];
    const file = join(this.#folder, `${output}-${list?.length}.pcap`);
    list?.push(startReader(this.#t, `share}${output}`, file, runtimeFolder));
    await until(`a reader of output ${output}`, () => this.#readerPid(output) > 0);
  }

  /** Ends a reader as a crash does. */
  async kill(output: number): Promise<void> {
    process.kill(this.#readerPid(output), 'SIGKILL');
    await until(`output ${output} without a reader`, () => this.#readerPid(output) === 0);
  }

  /** What the readers have written: a header for each file, and one for each packet. */
  #writtenBytes(): number {
    const files = this.#readers.flat().map(({ file }) => file);
    return files.reduce(
      (sum, file) => sum + Math.max(0, (statSync(file, { throwIfNoEntry: false })?.size ?? 0) - 24),
      0,
    );
  }

  /** Sends a frame of each flow, and waits until their readers have written all: a killed one loses none then. */
  async send(round: number): Promise<void> {
    const writer = await openPipeWriter('feed}0');
    const frames = roundFrames(round);
    await writer.send(frames);
    this.#sentBytes += frames.reduce((sum, { length }) => sum + length + 16, 0);
    await until('all packets to be written', () => this.#writtenBytes() === this.#sentBytes);
    writer.close();
  }

  /** Stops the engine; returns for each round the output of each flow, -1 where nobody got it. */
  async end(rounds: number): Promise<number[][]> {
    this.engine.stop();
    const where = new Map<string, number>();
    for (const [output, readers] of this.#readers.entries()) {
      for (const { program, packets } of readers.slice(-1)) {
        assert.equal(program.child.signalCode, null);
        for (const packet of await packets()) where.set(frameText(packet), output);
      }
      // Those that were killed: bash tells it, and tcpdump has written what it got.
      for (const { program, file } of readers.slice(0, -1)) {
        assert.notEqual((await program.ended()).code, 0);
        for (const packet of readCapture(file).packets) where.set(frameText(packet), output);
      }
    }
    return indices(rounds).map((round) =>
      roundFrames(round).map((data) => where.get(frameText({ data, timestampNs: 0n, wireLength: data.length })) ?? -1),
    );
  }
}

for (const weights of [undefined, [1, 2, 3, 2]]) {
  const what = weights === undefined ? 'without weights' : `with weights ${weights}`;
  test(`readers die and come back, ${what}`, { skip, timeout: 120_000 }, async (t) => {
    const hashes = await hashesOf(t);
    const bed = new Bed(t, weights);
    const living = new Set<number>();
    const expected: number[][] = [];
    const send = async (): Promise<void> => {
      await bed.send(expected.length);
      expected.push(hashes.map((hash) => modelOf(hash, weights ?? [1, 1, 1, 1], living)));
    };
    const come = async (output: number): Promise<void> => {
      await bed.start(output);
      living.add(output);
    };
    const die = async (output: number): Promise<void> => {
      await bed.kill(output);
      living.delete(output);
    };
    for (const output of [2, 0, 3, 1]) {
      await come(output);
      await send(); // rounds 0 to 3
    }
    await die(1);
    await send(); // 4
    await die(3);
    await send(); // 5
    await come(3);
    await send(); // 6
    await come(1);
    await send(); // 7
    const got = await bed.end(expected.length);
    const stats = bed.engine.stats();
    assertAccounting(stats, bed.engine.plan);
    assert.deepEqual(stats.drops.no_reader ?? 0, 0, 'nothing was sent where nobody reads');

    const [all = [], without1 = [], without13 = [], with3 = [], again = []] = got.slice(3);
    assertEven(all, weights ?? outputs, 'while all live');
    const movers = flows.flatMap((_, i) => (without1[i] === all[i] ? [] : [i]));
    assert.deepEqual(
      movers,
      flows.flatMap((_, i) => (all[i] === 1 ? [i] : [])),
      'only flows of the dead one move',
    );
    const shares = [weights?.[0] ?? 1, weights?.[2] ?? 1, weights?.[3] ?? 1];
    const taken = movers.map((i) => [0, 2, 3].indexOf(without1[i] ?? -1));
    assertEven(taken, shares, 'the living share them');
    flows.forEach((_, i) => {
      if (without1[i] !== 3) assert.equal(without13[i], without1[i], `flow ${i} stays when 3 dies, too`);
    });
    assert.deepEqual(with3, without1, 'what 3 had returns to it');
    assert.deepEqual(again, all, 'what 1 had returns to it');
    assert.deepEqual(got, expected, 'each round is as the model says');
  });
}
