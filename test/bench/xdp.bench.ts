// Receiving from a veth and sending into one by AF_XDP, beside DPDK's net_af_xdp and beside AF_PACKET.

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, makeLink, NotHere, pairs, type Row, runAsync } from './measure.ts';
import { blast, type Link, type Received, withReceiver } from './receiver.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

/** A rate that every receiver here keeps up with, so that processor time is of the same work. */
const steadyPerSecond = 100_000;

/** A testpmd of its own for each run, as for AF_PACKET. */
async function withTestpmd<T>(link: Link, mode: string, use: (testpmd: Testpmd) => Promise<T>): Promise<T> {
  const testpmd = await Testpmd.start('xdp', 1, 'net_af_xdp0,iface=v1', [], ['ip', 'netns', 'exec', link.namespace]);
  try {
    await testpmd.command(`set fwd ${mode}`);
    await testpmd.command('start');
    return await use(testpmd);
  } finally {
    await testpmd.quit();
  }
}

/** By a driver, or "driver?options". */
function receiveBy(link: Link, programs: string, by: string, rate: number, seconds: number): Promise<Received> {
  const [driver = '', options = ''] = by.split('?');
  return withReceiver(link, programs, [driver, 'v1', options], 0, () => blast(link, programs, rate, seconds));
}

const perPacket = ({ processorNs, received }: Received): number => processorNs / received;

async function receiving(link: Link, programs: string, { rounds, seconds }: Effort): Promise<Row[]> {
  const rateBy = (driver: string) => async () =>
    (await receiveBy(link, programs, driver, 0, seconds)).received / seconds / 1e6;
  const costBy = (driver: string) => async () =>
    perPacket(await receiveBy(link, programs, driver, steadyPerSecond, seconds));
  const testpmdRate = (): Promise<number> =>
    withTestpmd(link, 'rxonly', async (testpmd) => {
      const before = await testpmd.received();
      await blast(link, programs, 0, seconds);
      return ((await testpmd.received()).packets - before.packets) / seconds / 1e6;
    });
  const testpmdCost = (): Promise<number> =>
    withTestpmd(link, 'rxonly', async (testpmd) => {
      const before = (await testpmd.received()).packets;
      const usedBefore = testpmd.processorNs();
      await blast(link, programs, steadyPerSecond, seconds);
      return (testpmd.processorNs() - usedBefore) / ((await testpmd.received()).packets - before);
    });
  const testpmd = 'testpmd net_af_xdp';
  const rate = { name: 'xdp: received from a veth at full rate, 60 bytes', unit: 'Mpps', target: { ratioMin: 1 } };
  const cost = {
    name: `xdp: processor time to receive at ${steadyPerSecond} packets/s`,
    unit: 'ns/packet',
    target: { ratioMax: 1 },
  };
  return [
    { ...rate, ...(await pairs(rounds, { name: testpmd, take: testpmdRate }, rateBy('xdp'))) },
    { ...rate, ...(await pairs(rounds, { name: 'packet', take: rateBy('packet') }, rateBy('xdp'))) },
    {
      name: 'xdp, threaded=1: received from a veth at full rate, 60 bytes',
      unit: 'Mpps',
      ...(await pairs(rounds, { name: 'xdp', take: rateBy('xdp') }, rateBy('xdp?threaded=1'))),
    },
    { ...cost, ...(await pairs(rounds, { name: testpmd, take: testpmdCost }, costBy('xdp'))) },
    { ...cost, ...(await pairs(rounds, { name: 'packet', take: costBy('packet') }, costBy('xdp'))) },
  ];
}

async function sendBy(link: Link, programs: string, driver: string, seconds: number): Promise<[number, number]> {
  const [program, args] = link.exec(join(programs, 'send'));
  const [sent = 0, processorNs = 0] = (await runAsync(program, [...args, driver, 'v1', String(seconds)]))
    .split(' ')
    .map(Number);
  return [sent / seconds / 1e6, processorNs / sent];
}

async function sending(link: Link, programs: string, { rounds, seconds }: Effort): Promise<Row[]> {
  const testpmdRate = (): Promise<number> =>
    withTestpmd(link, 'txonly', async (testpmd) => {
      const before = await testpmd.sent();
      await delay(seconds * 1000);
      const after = await testpmd.sent();
      return (after.packets - before.packets) / (after.seconds - before.seconds) / 1e6;
    });
  const costs: number[] = [];
  const ours = async (): Promise<number> => {
    const [rate, cost] = await sendBy(link, programs, 'xdp', seconds);
    costs.push(cost);
    return rate;
  };
  const packetRate = async (): Promise<number> => (await sendBy(link, programs, 'packet', seconds))[0];
  const rate = { name: 'xdp: sent into a veth at full rate, 60 bytes', unit: 'Mpps' };
  return [
    { ...rate, ...(await pairs(rounds, { name: 'testpmd net_af_xdp', take: testpmdRate }, ours)) },
    { ...rate, ...(await pairs(rounds, { name: 'packet', take: packetRate }, ours)) },
    { name: "xdp: processor time to send, the veth pair's own included", unit: 'ns/packet', ours: costs },
  ];
}

/** Rates and processor time of both directions, and loss at a rate that can be kept up with. */
export async function xdp(programs: string, effort: Effort): Promise<Row[]> {
  const missing = testpmdMissing();
  if (missing !== undefined) throw new NotHere(missing);
  const link = makeLink();
  try {
    const rows = [...(await receiving(link, programs, effort)), ...(await sending(link, programs, effort))];
    let sent = 0;
    const counts = await withReceiver(link, programs, ['xdp', 'v1'], 4, async () => {
      sent = await blast(link, programs, steadyPerSecond, effort.longSeconds / 6);
    });
    const name = `xdp: lost of ${sent} at ${steadyPerSecond} packets/s, 4 pipes, 4 readers`;
    return [...rows, { name, unit: 'packets', ours: [sent - counts.read], target: { max: 0 } }];
  } finally {
    link.close();
  }
}
