// `npm run bench`: one line for each behaviour with its baseline beside it, taken in the same run.
//
//   npm run bench                     full: the figures of test/bench/README.md
//   npm run bench -- --short          a minute and a half, to see that all works
//   npm run bench -- --only NAME      one benchmark
import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { daemon } from './daemon.bench.ts';
import { dpdk } from './dpdk.bench.ts';
import { filter } from './filter.bench.ts';
import { filterRules } from './filter_rules.bench.ts';
import { flowGen } from './flow_gen.bench.ts';
import { idle } from './idle.bench.ts';
import { latency } from './latency.bench.ts';
import { loadBalancer } from './load_balancer.bench.ts';
import { buildPrograms, type Effort, median, medianRatio, NotHere, type Row } from './measure.ts';
import { nodeReader } from './node_reader.bench.ts';
import { packet } from './packet.bench.ts';
import { pipes } from './pipe.bench.ts';
import { script } from './script.bench.ts';
import { tcpdump } from './tcpdump.bench.ts';
import { xdp } from './xdp.bench.ts';

const benchmarks: Record<string, (programs: string, effort: Effort) => Promise<Row[]>> = {
  loadBalancer,
  filter,
  filterRules,
  flowGen,
  pipes,
  nodeReader,
  tcpdump,
  script,
  latency,
  packet,
  xdp,
  dpdk,
  daemon,
  idle,
};

const efforts = {
  full: { rounds: 7, seconds: 1, fineRounds: 21, fineSeconds: 0.3, longSeconds: 60 },
  short: { rounds: 1, seconds: 0.3, fineRounds: 1, fineSeconds: 0.2, longSeconds: 6 },
} as const;

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function spread(values: readonly number[]): string {
  return values.length === 1 ? '' : ` (${figure(Math.min(...values))}-${figure(Math.max(...values))})`;
}

/** The target as text, and whether it is met. */
function judge({ target, unit, ours }: Row, ratio = Number.NaN): [string, string] {
  if (target === undefined) return ['-', ''];
  const verdict = (isMet: boolean): string => (isMet ? 'met' : 'missed');
  if ('ratioMin' in target) return [`≥ ${target.ratioMin}×`, verdict(ratio >= target.ratioMin)];
  if ('ratioMax' in target) return [`≤ ${target.ratioMax}×`, verdict(ratio <= target.ratioMax)];
  return [`≤ ${target.max} ${unit}`, verdict(median(ours) <= target.max)];
}

function line(row: Row): string {
  const ours = `${figure(median(row.ours))}${spread(row.ours)}`;
  const baseline =
    row.baseline === undefined
      ? '-'
      : `${row.baseline.name}: ${figure(median(row.baseline.values))}${spread(row.baseline.values)}`;
  const ratio = medianRatio(row);
  const ratioText = ratio === undefined ? '-' : `${ratio.toFixed(2)}×`;
  const cells = [row.name, `${ours} ${row.unit}`, baseline, ratioText, ...judge(row, ratio)];
  return `| ${cells.join(' | ')} |`;
}

const { values: options } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const model = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
const date = new Date().toISOString().slice(0, 10);
const programs = buildPrograms();
console.log(`${model}, ${cpus().length} cores, Linux ${release()}, Node ${process.version}, ${date}\n`);
console.log('| behaviour | ours: median (range) | baseline: median (range) | ratio | target | |');
console.log('|---|---|---|---|---|---|');
for (const [name, benchmark] of Object.entries(benchmarks)) {
  if (options.only !== undefined && options.only !== name) continue;
  try {
    for (const row of await benchmark(programs, options.short ? efforts.short : efforts.full)) console.log(line(row));
  } catch (error) {
    console.log(`| ${name} | not measured: ${error instanceof Error ? error.message : String(error)} | | | | |`);
    if (!(error instanceof NotHere)) process.exitCode = 1;
  }
}
