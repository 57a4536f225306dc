// Devices of DPDK: what receiving and sending cost beside dpdk-testpmd, and memif to another process beside testpmd's own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, NotHere, pairs, type Row, run, runAsync } from './measure.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

const million = 1e6;
const batch = 256; // the engine's

/** What dpdk.c prints: packets for each second, and for each second of processor time. */
function measured(programs: string, args: readonly (string | number)[]): { wall: number; processor: number } {
  const [wall = Number.NaN, processor = Number.NaN] = run(join(programs, 'dpdk'), args.map(String))
    .split(' ')
    .map(Number);
  return { wall: wall / million, processor: processor / million };
}

/** testpmd between two net_null devices, `burst` packets at a time; packets for each second of its processor time. */
async function startNull(burst: number): Promise<{ take(seconds: number): Promise<number>; quit(): Promise<void> }> {
  const testpmd = await Testpmd.start(`null${burst}`, 0, 'net_null0', ['--in-memory', '--vdev=net_null1']);
  await testpmd.command(`set burst ${burst}`);
  await testpmd.command('set fwd io');
  return {
    quit: () => testpmd.quit(),
    async take(seconds) {
      await testpmd.command('start');
      await delay(seconds * 100);
      const [before, used] = [await testpmd.receivedByAll(), testpmd.processorSeconds()];
      await delay(seconds * 1000);
      const [after, usedThen] = [await testpmd.receivedByAll(), testpmd.processorSeconds()];
      await testpmd.command('stop');
      return (after - before) / (usedThen - used) / million;
    },
  };
}

/** net_null to net_null, on one core, where processor time is what others on the machine do not change. */
async function forwarding(programs: string, effort: Effort): Promise<Row[]> {
  const rows: Row[] = [];
  for (const burst of [batch, 32]) {
    const testpmd = await startNull(burst);
    const baseline = {
      name: `testpmd io, net_null to net_null, bursts of ${burst}`,
      take: () => testpmd.take(effort.seconds),
    };
    try {
      for (const [outputs, port] of Object.entries({ '4 null': 'null:', '4 net_null': 'dpdk:' })) {
        const take = () => measured(programs, ['forward', effort.seconds, port]).processor;
        const figures = await pairs(effort.rounds, baseline, take);
        const name = `dpdk: net_null, LoadBalancer, ${outputs} outputs, 64 bytes, one core's second`;
        rows.push({ name, unit: 'Mpps', ...figures, target: { ratioMin: 0.8 } });
      }
    } finally {
      await testpmd.quit();
    }
  }
  return rows;
}

/** What one packet costs on its way in, and on its way out, beyond what a sink costs. */
function costs(programs: string, effort: Effort): Row[] {
  const ways: Record<'receive' | 'send', number[]> = { receive: [], send: [] };
  for (let round = 0; round < effort.rounds; round++) {
    const sink = 1000 / measured(programs, ['receive', effort.seconds]).processor;
    ways.receive.push(sink);
    ways.send.push(1000 / measured(programs, ['receive', effort.seconds, 'dpdk:']).processor - sink);
  }
  return [
    { name: 'dpdk: net_null to a sink, all of it', unit: 'ns/packet', ours: ways.receive },
    { name: 'dpdk: to net_null instead of the sink, in its own buffers', unit: 'ns/packet', ours: ways.send },
  ];
}

/** Packets/s that a testpmd receives from a memif: of a testpmd that makes them, and of an engine. */
async function memif(programs: string, effort: Effort): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bricks-memif-'));
  const socket = join(folder, 'm.sock');
  const device = (role: string): string => `net_memif0,role=${role},id=0,socket=${socket},socket-abstract=no`;
  const receiver = await Testpmd.start('memif-rx', 1, device('server'), ['--in-memory', '--single-file-segments']);
  const rows: Row[] = [];
  try {
    await receiver.command('set fwd rxonly');
    /** Packets/s that come, once they do. */
    const receiving = async (seconds: number): Promise<number> => {
      await receiver.command('start');
      const idle = (await receiver.received()).packets;
      while ((await receiver.received()).packets === idle) await delay(20);
      await delay(seconds * 100);
      const before = await receiver.received();
      await delay(seconds * 1000);
      const after = await receiver.received();
      await receiver.command('stop');
      return (after.packets - before.packets) / (after.seconds - before.seconds) / million;
    };
    /** A testpmd of its own for each run: the socket has one client. */
    const takeTestpmd = async (bytes: number): Promise<number> => {
      const sender = await Testpmd.start('memif-tx', 0, device('client'), ['--in-memory', '--single-file-segments']);
      await sender.command('set fwd txonly');
      await sender.command(`set txpkts ${bytes}`);
      await sender.command('start');
      const rate = await receiving(effort.fineSeconds);
      await sender.command('stop');
      await sender.quit();
      return rate;
    };
    const takeOurs = async (mode: string, bytes: number): Promise<number> => {
      const args = [mode, String(2 * effort.fineSeconds + 1.5), socket, String(bytes)];
      const engine = runAsync(join(programs, 'dpdk'), args);
      const rate = await receiving(effort.fineSeconds);
      await engine;
      return rate;
    };
    for (const bytes of [64, 512, 1500]) {
      const baseline = { name: `testpmd to testpmd, net_memif, ${bytes} bytes`, take: () => takeTestpmd(bytes) };
      for (const [input, mode] of Object.entries({ generator: 'memif-copy', 'net_null, untouched': 'memif-null' })) {
        const figures = await pairs(effort.rounds, baseline, () => takeOurs(mode, bytes));
        const name = `dpdk: ${input}, memif, testpmd, ${bytes} bytes`;
        rows.push({ name, unit: 'Mpps', ...figures, target: { ratioMin: 1 } });
      }
    }
  } finally {
    await receiver.quit();
    rmSync(folder, { recursive: true });
  }
  return rows;
}

export async function dpdk(programs: string, effort: Effort): Promise<Row[]> {
  const missing = testpmdMissing();
  if (missing !== undefined) throw new NotHere(missing);
  return [...(await forwarding(programs, effort)), ...costs(programs, effort), ...(await memif(programs, effort))];
}
