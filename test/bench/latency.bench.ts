// How long a packet takes from one application to another: through pipes and an engine, beside packet sockets on a veth
// pair; and from a veth pair through an engine to a pipe.
import { join } from 'node:path';
import { alternate, type Effort, enclosing, makeLink, type Row, run } from './measure.ts';

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

const paths = [
  { argument: 'pipe', name: 'pipe, engine, pipe' },
  { argument: 'port', name: 'veth, engine, pipe' },
] as const;

/** Packets one by one, so that everybody sleeps between two; and so many that nobody does for long. */
const loads = [
  { name: 'idle', packetsPerSecond: 1000 },
  { name: '100,000/s', packetsPerSecond: 100_000 },
];

/** One run of latency.c in the link's namespace, in microseconds. */
function take(
  link: ReturnType<typeof makeLink>,
  latency: string,
  path: string,
  packets: number,
  rate: number,
): Percentiles {
  const [program, args] = link.exec(latency);
  const [p50, p99, received] = run(program, [...args, path, String(packets), String(rate)])
    .split(' ')
    .map(Number) as [number, number, number];
  // What is lost has no latency: percentiles of the rest would flatter.
  if (received < 0.99 * packets) throw new Error(`latency ${path}: ${received} of ${packets} packets arrived`);
  return { p50: p50 / 1000, p99: p99 / 1000 };
}

/** 50th and 99th percentiles, idle and under load. */
export async function latency(programs: string, effort: Effort): Promise<Row[]> {
  const link = makeLink();
  const rows: Row[] = [];
  try {
    for (const { name: load, packetsPerSecond } of loads) {
      const packets = Math.ceil(1.5 * effort.seconds * packetsPerSecond);
      const measure = (path: string): Percentiles =>
        take(link, join(programs, 'latency'), path, packets, packetsPerSecond);
      const figures = await alternate(
        effort.rounds,
        () => measure('socket'),
        () => paths.map(({ argument }) => measure(argument)),
      );
      for (const percentile of ['p50', 'p99'] as const) {
        const values = enclosing(figures.baseline.map((taken) => taken[percentile]));
        paths.forEach(({ name }, i) => {
          rows.push({
            name: `latency: ${name}, ${load}, ${percentile}`,
            unit: 'µs',
            ours: figures.ours.map((taken) => taken[i]?.[percentile] ?? Number.NaN),
            baseline: { name: 'packet sockets on a veth pair', values },
          });
        });
      }
    }
    return rows;
  } finally {
    link.close();
  }
}
