// Receiving from an interface by AF_PACKET, beside DPDK's net_af_packet; and whether anything is lost.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Effort, makeLink, NotHere, pairs, type Row, runAsync } from './measure.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

type Link = ReturnType<typeof makeLink>;

interface Received {
  readonly received: number;
  readonly lost: number;
  readonly dropped: number;
  readonly read: number;
}

/** Runs the engine on v1 while `traffic` runs; returns its counts. */
async function withEngine(
  link: Link,
  programs: string,
  pipes: number,
  traffic: () => Promise<unknown>,
): Promise<Received> {
  const [program, args] = link.exec(join(programs, 'receive'));
  const child: ChildProcess = spawn(program, [...args, 'v1', String(pipes)], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  const ready = new Promise<void>((done) => {
    child.stdout?.on('data', (data: Buffer) => {
      output += data.toString();
      if (output.includes('ready\n')) done();
    });
  });
  const ended = new Promise((done) => child.on('close', done));
  await Promise.race([ready, ended]);
  await traffic();
  await delay(200);
  child.stdin?.end();
  await ended;
  const [received = 0, lost = 0, dropped = 0, read = 0] = (output.split('\n')[1] ?? '').split(' ').map(Number);
  return { received, lost, dropped, read };
}

function blast(link: Link, programs: string, rate: number, seconds: number): Promise<number> {
  const [program, args] = link.exec(join(programs, 'blast'));
  return runAsync(program, [...args, 'v0', String(rate), String(seconds)]).then(Number);
}

/** A testpmd of its own for each run: one that is only stopped still has its socket, at our cost. */
async function testpmdReceived(link: Link, programs: string, seconds: number): Promise<number> {
  const testpmd = await Testpmd.start('af', 1, 'net_af_packet0,iface=v1', [], ['ip', 'netns', 'exec', link.namespace]);
  try {
    await testpmd.command('set fwd rxonly');
    await testpmd.command('start');
    const before = await testpmd.received();
    await blast(link, programs, 0, seconds);
    return (await testpmd.received()).packets - before.packets;
  } finally {
    await testpmd.quit();
  }
}

async function topRate(link: Link, programs: string, effort: Effort): Promise<Row> {
  const missing = testpmdMissing();
  if (missing !== undefined) throw new NotHere(missing);
  const figures = await pairs(
    effort.rounds,
    {
      name: 'testpmd net_af_packet',
      take: async () => (await testpmdReceived(link, programs, effort.seconds)) / effort.seconds / 1e6,
    },
    async () => {
      const { received } = await withEngine(link, programs, 0, () => blast(link, programs, 0, effort.seconds));
      return received / effort.seconds / 1e6;
    },
  );
  const name = 'packet: received from a veth at full rate, 60 bytes';
  return { name, unit: 'Mpps', ...figures, target: { ratioMin: 1 } };
}

/** The top rate beside testpmd, and loss at 100,000 packets/s into 4 pipes with 4 readers. */
export async function packet(programs: string, effort: Effort): Promise<Row[]> {
  const link = makeLink();
  try {
    const rows = [await topRate(link, programs, effort)];
    let sent = 0;
    const counts = await withEngine(link, programs, 4, async () => {
      sent = await blast(link, programs, 100_000, effort.longSeconds / 6);
    });
    rows.push({
      name: `packet: lost of ${sent} at 100,000 packets/s, 4 pipes, 4 readers`,
      unit: 'packets',
      ours: [sent - counts.read],
      target: { max: 0 },
    });
    return rows;
  } finally {
    link.close();
  }
}
