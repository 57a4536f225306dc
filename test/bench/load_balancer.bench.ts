// LoadBalancer's work on one core, beside the hash of packet-bricks.
import { join } from 'node:path';
import { type Effort, type Row, run } from './measure.ts';

/** 60-byte frames of 10,000 flows: parse, 4-tuple hash and split into 4, beside the bit-serial Toeplitz hash alone. */
export async function loadBalancer(programs: string, effort: Effort): Promise<Row[]> {
  const lines = run(join(programs, 'split'), [String(effort.seconds / 2), String(effort.rounds)]).split('\n');
  const pairs = lines.map((line) => line.split(' ').map(Number));
  return [
    {
      name: 'LoadBalancer: parse, hash, split, one core',
      unit: 'Mpps',
      ours: pairs.map(([, ours = Number.NaN]) => ours / 1e6),
      baseline: { name: 'bit-serial Toeplitz alone', values: pairs.map(([toeplitz = Number.NaN]) => toeplitz / 1e6) },
      target: { ratioMin: 15 },
    },
  ];
}
