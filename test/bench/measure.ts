// What the benchmarks share: building and running their programs, medians, rows of the table.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../package_info.ts';

/** How long and how often: a short run shows that all works, a full one gives the figures of the README. */
export interface Effort {
  readonly rounds: number;
  readonly seconds: number;
  /** Many short runs, where what a machine gives changes within seconds: see README.md. */
  readonly fineRounds: number;
  readonly fineSeconds: number;
  /** Of the runs that look for loss or growth. */
  readonly longSeconds: number;
}

/** One line of the table: a behaviour, its baseline, taken in the same run. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: readonly number[];
  /** Missing where the target is a figure, not a ratio. */
  readonly baseline?: { readonly name: string; readonly values: readonly number[] };
  /** The least ratio wanted, the most it may be, or the most that ours may be. Missing where nothing is promised. */
  readonly target?: { readonly ratioMin: number } | { readonly ratioMax: number } | { readonly max: number };
}

/** A peer or a right that this machine lacks: said in the table, and no failure. */
export class NotHere extends Error {}

/** The middle value; the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** The median of the ratios of pairs. */
export function medianRatio(row: Row): number | undefined {
  const baseline = row.baseline?.values;
  return baseline === undefined ? undefined : median(row.ours.map((value, i) => value / (baseline[i] ?? Number.NaN)));
}

/** How a baseline is called in the table, and how one figure of it is taken. */
export interface Baseline {
  readonly name: string;
  take(): number | Promise<number>;
}

/** Runs of a baseline and of ours in turn, the baseline's first and last: it has one more. */
export async function alternate<B, O>(
  rounds: number,
  takeBaseline: () => B | Promise<B>,
  takeOurs: () => O | Promise<O>,
): Promise<{ ours: O[]; baseline: B[] }> {
  const ours: O[] = [];
  const baseline = [await takeBaseline()];
  for (let i = 0; i < rounds; i++) {
    ours.push(await takeOurs());
    baseline.push(await takeBaseline());
  }
  return { ours, baseline };
}

/** What each of ours is compared with: the mean of the runs right before and right after it, so that drift favours neither. */
export function enclosing(baseline: readonly number[]): number[] {
  return baseline.slice(1).map((after, i) => ((baseline[i] ?? Number.NaN) + after) / 2);
}

/** Figures of ours and of a baseline, taken in turn: that part of a row. */
export async function pairs(
  rounds: number,
  baseline: Baseline,
  takeOurs: () => number | Promise<number>,
): Promise<Required<Pick<Row, 'ours' | 'baseline'>>> {
  const figures = await alternate(rounds, () => baseline.take(), takeOurs);
  return { ours: figures.ours, baseline: { name: baseline.name, values: enclosing(figures.baseline) } };
}

/** Builds the programs of this folder, plain; returns their folder. */
export function buildPrograms(): string {
  const out = join(packageRoot, 'native/build/bench');
  mkdirSync(out, { recursive: true });
  execFileSync('make', ['-C', join(packageRoot, 'native'), '-s', '-j2', `OUT=${out}`, 'bench'], { stdio: 'inherit' });
  return out;
}

/** Runs a program to its end and returns what it printed. */
export function run(program: string, args: readonly string[]): string {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.status !== 0) {
    throw new Error(
      `${program} ${args.join(' ')}: ${result.stderr || result.error?.message || `status ${result.status}`}`,
    );
  }
  return result.stdout.trim();
}

/** Runs a program while the event loop goes on. */
export async function runAsync(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
  });
  const status = await new Promise<number | null>((done) => child.on('close', done));
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}`);
  return output.trim();
}

/** A network namespace with a veth pair v0, v1; `close` removes it. */
export function makeLink(): { readonly namespace: string; exec(program: string): [string, string[]]; close(): void } {
  const namespace = `bricks-bench-${process.pid}`;
  run('ip', ['netns', 'add', namespace]);
  const exec = (program: string): [string, string[]] => ['ip', ['netns', 'exec', namespace, program]];
  // No IPv6: the kernel would send neighbour discovery between the frames counted.
  run('ip', [
    'netns',
    'exec',
    namespace,
    'sysctl',
    '-q',
    'net.ipv6.conf.all.disable_ipv6=1',
    'net.ipv6.conf.default.disable_ipv6=1',
  ]);
  run('ip', ['-n', namespace, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
  for (const name of ['v0', 'v1']) run('ip', ['-n', namespace, 'link', 'set', name, 'up']);
  return {
    namespace,
    exec,
    close() {
      run('ip', ['netns', 'del', namespace]);
    },
  };
}
