// LoadBalancer's work on one core, beside the hash of packet-bricks, and with each of its options.
import { join } from 'node:path';
import { type Effort, type Row, run } from './measure.ts';

/** 60-byte frames of 10,000 flows: parse, 4-tuple hash, split into 4, flows counted; what split.c prints for each round. */
export async function loadBalancer(programs: string, effort: Effort): Promise<Row[]> {
  const lines = run(join(programs, 'split'), [String(effort.seconds / 4), String(2 * effort.rounds)]).split('\n');
  const rounds = lines.map((line) => line.split(' ').map((rate) => Number(rate) / 1e6));
  const column = (index: number): number[] => rounds.map((rates) => rates[index] ?? Number.NaN);
  const [bitSerial, symmetric, toeplitz, withOptions, nic] = [0, 1, 2, 3, 4].map(column) as [
    number[],
    number[],
    number[],
    number[],
    number[],
  ];
  const nanoseconds = (rates: readonly number[]): number[] => rates.map((rate) => 1000 / rate);
  const one = 'LoadBalancer, one core';
  const bricks = 'bit-serial Toeplitz alone';
  return [
    {
      name: `${one}: parse, hash, split, count flows`,
      unit: 'Mpps',
      ours: symmetric,
      baseline: { name: bricks, values: bitSerial },
      target: { ratioMin: 15 },
    },
    {
      name: `${one}: the same with hash = "toeplitz"`,
      unit: 'Mpps',
      ours: toeplitz,
      baseline: { name: bricks, values: bitSerial },
      target: { ratioMin: 15 },
    },
    {
      name: `${one}: "toeplitz" beside "symmetric"`,
      unit: 'ns/packet',
      ours: nanoseconds(toeplitz),
      baseline: { name: 'symmetric', values: nanoseconds(symmetric) },
      // It computes its word beside the symmetric hash, which counts flows (0.4 ns), and looks the output up (0.3 ns).
      target: { ratioMax: 1 },
    },
    {
      name: `${one}: tunnel = "inner" and fragments, plain packets`,
      unit: 'ns/packet',
      ours: nanoseconds(withOptions),
      baseline: { name: 'without options', values: nanoseconds(symmetric) },
      target: { ratioMax: 1.5 },
    },
    {
      name: `${one}: hash = "nic" of packets that have one`,
      unit: 'ns/packet',
      ours: nanoseconds(nic),
      baseline: { name: 'symmetric', values: nanoseconds(symmetric) },
      target: { ratioMax: 0.8 },
    },
  ];
}
