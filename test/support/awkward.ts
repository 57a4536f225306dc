// Packets that find faults of whoever copies packets.
import type { Packet } from './capture.ts';
import { buildPacket, type Flow } from './packets.ts';

const flow: Flow = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'udp', sourcePort: 1, destinationPort: 2 };
/** The i-th of many flows. */
export const makeFlow = (i: number): Flow => ({ ...flow, source: `10.0.${i >> 8}.${i & 255}`, sourcePort: 1024 + i });

/** Packets that a careless copy damages: every kind of length, cut packets, times at the edges of a second. */
export function awkward(): Packet[] {
  const packets: Packet[] = [];
  const times = [
    0n,
    1n,
    999n,
    1000n,
    999_999_999n,
    1_000_000_000n,
    4_294_967_295_999_999_999n,
    1_700_000_000_123_456_789n,
  ];
  for (const payload of [0, 1, 17, 18, 22, 1458, 1472, 2000, 2048, 9000, 32768, 65000]) {
    const whole = buildPacket(makeFlow(packets.length), { payload });
    for (const timestampNs of times) {
      packets.push({ timestampNs, wireLength: whole.length, data: whole });
      // Cut in the Ethernet header, in the IP header, in the ports, and far below its length on the wire.
      for (const cut of [1, 13, 14, 20, 33, 35, 42])
        packets.push({ timestampNs, wireLength: whole.length, data: whole.subarray(0, cut) });
      packets.push({ timestampNs, wireLength: 262144, data: whole });
    }
  }
  packets.push({ timestampNs: 5n, wireLength: 60, data: Buffer.alloc(0) });
  return packets;
}
