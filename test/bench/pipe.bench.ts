// Engine to application over pipes, beside DPDK's shared-memory interface between two testpmd processes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, NotHere, pairs, type Row, run } from './measure.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

const frameSizes = [64, 512, 1500];

/** How many pipes, what stands between them and the generator, and what is wanted of it. */
const graphs: readonly { readonly pipes: number; readonly name: string; readonly target?: { ratioMin: number } }[] = [
  { pipes: 4, name: 'engine, LoadBalancer, 4 pipes, reader', target: { ratioMin: 1.5 } },
  { pipes: 1, name: 'engine, Dummy, 1 pipe, reader' },
];

/** One memif run of `seconds`: packets/s at the receiver. */
async function memifRate(sender: Testpmd, receiver: Testpmd, seconds: number): Promise<number> {
  await receiver.command('start');
  await sender.command('start');
  await delay(seconds * 100);
  const before = await receiver.received();
  await delay(seconds * 1000);
  const after = await receiver.received();
  await sender.command('stop');
  await receiver.command('stop');
  return (after.packets - before.packets) / (after.seconds - before.seconds);
}

/** Generator, LoadBalancer and 4 pipes, or Dummy and one, to one reader process; beside testpmd to testpmd over net_memif. */
export async function pipes(programs: string, effort: Effort): Promise<Row[]> {
  const missing = testpmdMissing();
  if (missing !== undefined) throw new NotHere(missing);
  const folder = mkdtempSync(join(tmpdir(), 'bricks-memif-'));
  const memif = (role: string): string => `net_memif0,role=${role},id=0,socket=${folder}/memif.sock,socket-abstract=no`;
  const receiver = await Testpmd.start('rx', 1, memif('server'));
  const sender = await Testpmd.start('tx', 0, memif('client'), ['--single-file-segments']);
  const rows: Row[] = [];
  try {
    await receiver.command('set fwd rxonly');
    await sender.command('set fwd txonly');
    for (const bytes of frameSizes) {
      await sender.command(`set txpkts ${bytes}`);
      const baseline = {
        name: `DPDK net_memif, testpmd to testpmd, ${bytes} bytes`,
        take: async () => (await memifRate(sender, receiver, effort.fineSeconds)) / 1e6,
      };
      for (const { name, pipes: count, ...target } of graphs) {
        const args = [bytes, effort.fineSeconds, count].map(String);
        const figures = await pairs(
          effort.fineRounds,
          baseline,
          () => Number(run(join(programs, 'pipes'), args)) / 1e6,
        );
        rows.push({ name: `pipes: ${name}, ${bytes} bytes`, unit: 'Mpps', ...figures, ...target });
      }
    }
  } finally {
    await sender.quit();
    await receiver.quit();
    rmSync(folder, { recursive: true });
  }
  return rows;
}
