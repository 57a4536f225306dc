// Engine to application over pipes, beside DPDK's shared-memory interface between two testpmd processes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, NotHere, pairs, type Row, run } from './measure.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

const sizes = [
  { ours: 60, memif: 64, ratioMin: 1.5 },
  { ours: 512, memif: 512, ratioMin: 0.8 },
  { ours: 1500, memif: 1500, ratioMin: 0.8 },
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

/** Generator, LoadBalancer, 4 pipes, one reader process; beside testpmd to testpmd over net_memif. */
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
    for (const size of sizes) {
      await sender.command(`set txpkts ${size.memif}`);
      const figures = await pairs(
        effort.rounds,
        {
          name: `DPDK net_memif, testpmd to testpmd, ${size.memif} bytes`,
          take: async () => (await memifRate(sender, receiver, effort.seconds)) / 1e6,
        },
        () => Number(run(join(programs, 'pipes'), [String(size.ours), String(effort.seconds)])) / 1e6,
      );
      const name = `pipes: engine, LoadBalancer, 4 pipes, reader, ${size.ours} bytes`;
      rows.push({ name, unit: 'Mpps', ...figures, target: { ratioMin: size.ratioMin } });
    }
  } finally {
    await sender.quit();
    await receiver.quit();
    rmSync(folder, { recursive: true });
  }
  return rows;
}
