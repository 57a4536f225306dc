// Filter's expressions on one core, beside libpcap's interpreter.
import { join } from 'node:path';
import { type Effort, type Row, run } from './measure.ts';

/** Expressions by their number of terms, and the kind of the first: 0 "host", 1 "tcp port". */
const expressions = [
  { name: '1 term, host', terms: 1, first: 0 },
  { name: '1 term, tcp port', terms: 1, first: 1 },
  { name: '10 terms', terms: 10, first: 0 },
  { name: '50 terms', terms: 50, first: 0 },
];

/** A mix of packets that stays in the cache: the brick with two outputs, beside bpf_filter() called for each packet. */
export async function filter(programs: string, effort: Effort): Promise<Row[]> {
  return expressions.map(({ name, terms, first }) => {
    const args = [terms, first, effort.seconds / 4, effort.rounds * 3].map(String);
    const pairs = run(join(programs, 'filter'), args)
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    return {
      name: `Filter: ${name}, one core`,
      unit: 'Mpps',
      ours: pairs.map(([, ours = Number.NaN]) => ours / 1e6),
      baseline: { name: 'bpf_filter()', values: pairs.map(([theirs = Number.NaN]) => theirs / 1e6) },
      target: { ratioMin: 3 },
    };
  });
}
