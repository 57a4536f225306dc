// Balancing captures in tests: who got which packet, flows with and without structure, and whether a split is even.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Brick, type BrickArgument } from '../../index.ts';
import { assertSameFrames, type Packet, readCapture, timed, writeCapture } from './capture.ts';
import { runGraph } from './engines.ts';
import { makeFolder } from './files.ts';
import type { Flow } from './packets.ts';

export const indices = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Of this process: it goes at its end. */
export const folder = makeFolder({ after: (done: () => void) => process.on('exit', done) });

let files = 0;

/** Balances packets over `outputs` captures, through a chain of bricks if `build` makes one; returns what each got. */
export async function balance(
  packets: readonly Packet[],
  outputs: number,
  argument?: BrickArgument,
): Promise<Packet[][]> {
  const stem = join(folder, `lb${++files}`);
  writeCapture(`${stem}-in.pcap`, packets);
  const names = Array.from({ length: outputs }, (_, i) => `${stem}-${i}.pcap`);
  const brick = new Brick('LoadBalancer', argument).connectInput(`pcap:${stem}-in.pcap`);
  await runGraph(brick.connectOutput(...names.map((name) => `pcap:${name}`)));
  return names.map((name) => [...readCapture(name).packets]);
}

/** For each input packet, the output it went to: packets have times of their own, so that is unambiguous. */
export function outputOf(packets: readonly Packet[], outputs: readonly (readonly Packet[])[]): number[] {
  const where = new Map<bigint, number>();
  outputs.forEach((list, output) => {
    for (const { timestampNs } of list) where.set(timestampNs, output);
  });
  return packets.map(({ timestampNs }) => where.get(timestampNs) ?? -1);
}

/** The number of the output for each frame. */
export async function choose(frames: readonly Buffer[], outputs: number, argument?: BrickArgument): Promise<number[]> {
  const packets = timed(frames);
  const got = await balance(packets, outputs, argument);
  assertSameFrames(got.flat(), packets, 'all outputs together');
  const chosen = outputOf(packets, got);
  assert.ok(!chosen.includes(-1), 'each packet went to an output');
  return chosen;
}

export const flow4 = (i: number, protocol: Flow['protocol'] = 'tcp'): Flow => ({
  source: `10.0.${i >> 8}.${i & 255}`,
  destination: `10.1.${i >> 8}.${i & 255}`,
  protocol,
  sourcePort: 30000 + i,
  destinationPort: 443,
});
export const flow6 = (i: number, protocol: Flow['protocol'] = 'tcp'): Flow => ({
  ...flow4(i, protocol),
  source: `2001:db8:${i.toString(16)}::1`,
  destination: `2001:db8:ffff::${i.toString(16)}`,
});

/**
 * The value that a chi-square of `freedom` degrees exceeds with probability 0.0001 (Wilson and Hilferty 1931).
 *
 * The hash has no randomness: a set passes always or never. At this level all the sets together would fail a
 * perfect hash once in some hundred hashes.
 */
export function chiSquareLimit(freedom: number): number {
  const z = 3.719;
  return freedom * (1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;
}

/** Over as many outputs as there are shares. */
export function chiSquare(chosen: readonly number[], shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.reduce((value, share, output) => {
    const expected = (chosen.length * share) / sum;
    const count = chosen.filter((one) => one === output).length;
    return value + (count - expected) ** 2 / expected;
  }, 0);
}

/** Asserts that a split over `outputs`, or outputs with these shares, is what chance could have made. */
export function assertEven(chosen: readonly number[], outputs: number | readonly number[], what: string): void {
  const shares = typeof outputs === 'number' ? indices(outputs).map(() => 1) : outputs;
  const value = chiSquare(chosen, shares);
  const limit = chiSquareLimit(shares.length - 1);
  assert.ok(
    value <= limit,
    `${what}: chi-square ${value.toFixed(1)} over ${shares.length} outputs exceeds ${limit.toFixed(1)}`,
  );
}

/** Numbers from 0 to less than 1, the same in every run (xorshift32, Marsaglia 2003). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export function randomFlows(count: number): Flow[] {
  const random = randomNumbers(20260101);
  const below = (limit: number): number => Math.floor(random() * limit);
  const address = (): string => [10 + below(180), below(256), below(256), below(256)].join('.');
  return indices(count).map(() => ({
    source: address(),
    destination: address(),
    protocol: below(2) === 0 ? 'tcp' : 'udp',
    sourcePort: 1024 + below(60000),
    destinationPort: below(1024),
  }));
}
