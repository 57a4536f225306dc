// Receiving from an interface by AF_PACKET, beside DPDK's net_af_packet; and whether anything is lost.
import { type Effort, makeLink, NotHere, pairs, type Row } from './measure.ts';
import { blast, type Link, withReceiver } from './receiver.ts';
import { Testpmd, testpmdMissing } from './testpmd.ts';

const port = ['packet', 'v1'] as const;

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
      const { received } = await withReceiver(link, programs, port, 0, () => blast(link, programs, 0, effort.seconds));
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
    const counts = await withReceiver(link, programs, port, 4, async () => {
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
