// Engine to application over pipes, beside DPDK's shared-memory interface between two testpmd processes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, NotHere, pairs, type Row, run } from './measure.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

const frameSizes = [64, 512, 1500];

/** The baselines: net_memif copies frames on their way out; its client can lend them, too. */
const memifs = {
  copies: { name: 'DPDK net_memif, testpmd to testpmd', options: '' },
  lends: { name: 'DPDK net_memif, zero-copy=yes, testpmd to testpmd', options: ',zero-copy=yes' },
} as const;
type MemifKind = keyof typeof memifs;

/** How many pipes, whether they lend, what stands between them and the generator, and what is wanted of it. */
const graphs: readonly {
  readonly pipes: number;
  readonly options: readonly string[];
  readonly name: string;
  readonly baselines: readonly MemifKind[];
  readonly target?: { readonly ratioMin: number };
}[] = [
  {
    pipes: 4,
    options: [],
    name: 'engine, LoadBalancer, 4 pipes, reader',
    baselines: ['copies'],
    target: { ratioMin: 1.5 },
  },
  { pipes: 1, options: [], name: 'engine, Dummy, 1 pipe, reader', baselines: ['copies'] },
  {
    pipes: 4,
    options: ['--lend'],
    name: 'engine, LoadBalancer, 4 pipes, lent, reader',
    baselines: ['copies', 'lends'],
    target: { ratioMin: 1.5 },
  },
];

/** Two testpmd processes with net_memif between them. */
class Memif {
  readonly #sender: Testpmd;
  readonly #receiver: Testpmd;

  private constructor(sender: Testpmd, receiver: Testpmd) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  static async start(folder: string, kind: MemifKind): Promise<Memif> {
    const device = (role: string, options: string): string =>
      `net_memif0,role=${role},id=0,socket=${folder}/${kind}.sock,socket-abstract=no${options}`;
    const receiver = await Testpmd.start(`rx-${kind}`, 1, device('server', ''));
    try {
      const client = device('client', memifs[kind].options);
      const sender = await Testpmd.start(`tx-${kind}`, 0, client, ['--single-file-segments']);
      await receiver.command('set fwd rxonly');
      await sender.command('set fwd txonly');
      return new Memif(sender, receiver);
    } catch (error) {
      await receiver.quit();
      throw error;
    }
  }

  /** One run of `seconds`: packets/s at the receiver. */
  async rate(bytes: number, seconds: number): Promise<number> {
    await this.#sender.command(`set txpkts ${bytes}`);
    await this.#receiver.command('start');
    await this.#sender.command('start');
    await delay(seconds * 100);
    const before = await this.#receiver.received();
    await delay(seconds * 1000);
    const after = await this.#receiver.received();
    await this.#sender.command('stop');
    await this.#receiver.command('stop');
    return (after.packets - before.packets) / (after.seconds - before.seconds);
  }

  async quit(): Promise<void> {
    await this.#sender.quit();
    await this.#receiver.quit();
  }
}

/** Generator, LoadBalancer and 4 pipes, or Dummy and one, to one reader process; beside testpmd to testpmd over net_memif. */
export async function pipes(programs: string, effort: Effort): Promise<Row[]> {
  const missing = testpmdMissing();
  if (missing !== undefined) throw new NotHere(missing);
  const folder = mkdtempSync(join(tmpdir(), 'bricks-memif-'));
  const started = new Map<MemifKind, Memif>();
  const rows: Row[] = [];
  try {
    for (const kind of ['copies', 'lends'] as const) started.set(kind, await Memif.start(folder, kind));
    for (const bytes of frameSizes) {
      for (const { name, pipes: count, options, baselines, ...target } of graphs) {
        const args = [...options, ...[bytes, effort.fineSeconds, count].map(String)];
        for (const kind of baselines) {
          const baseline = {
            name: `${memifs[kind].name}, ${bytes} bytes`,
            take: async () => ((await started.get(kind)?.rate(bytes, effort.fineSeconds)) ?? Number.NaN) / 1e6,
          };
          const takeOurs = () => Number(run(join(programs, 'pipes'), args)) / 1e6;
          const figures = await pairs(effort.fineRounds, baseline, takeOurs);
          rows.push({ name: `pipes: ${name}, ${bytes} bytes`, unit: 'Mpps', ...figures, ...target });
        }
      }
    }
  } finally {
    for (const memif of started.values()) await memif.quit();
    rmSync(folder, { recursive: true });
  }
  return rows;
}
