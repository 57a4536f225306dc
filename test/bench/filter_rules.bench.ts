// What a packet costs at a million rules of Filter, beside what it costs at one.
import { join } from 'node:path';
import { type Effort, type Row, run } from './measure.ts';

/** 60-byte frames of a million connections, each of which has its rule, beside the same frames and one rule. */
export async function filterRules(programs: string, effort: Effort): Promise<Row[]> {
  const args = [String(effort.fineSeconds), String(effort.fineRounds)];
  const pairs = run(join(programs, 'filter_rules'), args)
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  return [
    {
      name: 'Filter: a lookup among a million rules, one core',
      unit: 'ns/packet',
      ours: pairs.map(([, ours = Number.NaN]) => ours),
      baseline: { name: 'one rule', values: pairs.map(([one = Number.NaN]) => one) },
      target: { ratioMax: 4 },
    },
  ];
}
