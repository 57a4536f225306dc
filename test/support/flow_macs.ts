// What FlowGen writes, computed by the definitions alone: the Toeplitz hash bit by bit, and the addresses of a flow.
// Source: "RSS hashing functions" and "Verifying the RSS hash calculation", Microsoft's driver documentation.
import { addressBytes, type Flow } from './packets.ts';

const key = Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex');
const keyBits = [...key].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((bit) => (byte >> bit) & 1));

/** The hash of `input`: for each of its bits that is set, the 32 bits of the key from there. */
function toeplitz(input: Buffer): number {
  let hash = 0;
  [...input].forEach((byte, place) => {
    for (let bit = 0; bit < 8; bit++) {
      if (((byte >> (7 - bit)) & 1) === 0) continue;
      const at = place * 8 + bit;
      hash ^= Number.parseInt(keyBits.slice(at, at + 32).join(''), 2);
    }
  });
  return hash >>> 0;
}

/** The hash of a flow's addresses, and with `tuple` 4 of its ports. */
export function flowHash(flow: Pick<Flow, 'source' | 'destination'> & Partial<Flow>, tuple: 2 | 4 = 2): number {
  const ports = [flow.sourcePort ?? 0, flow.destinationPort ?? 0].flatMap((port) => [port >> 8, port & 255]);
  const addresses = [addressBytes(flow.source), addressBytes(flow.destination)];
  return toeplitz(Buffer.concat(tuple === 4 ? [...addresses, Buffer.from(ports)] : addresses));
}

/** The destination address of a hash: the prefix, then the hash, its low byte first. */
export function flowMac(hash: number, prefix = 0xbeef): Buffer {
  const mac = Buffer.alloc(6);
  mac.writeUInt16BE(prefix, 0);
  mac.writeUInt32LE(hash, 2);
  return mac;
}

/** The source address of a FlowGen. */
export function generatorMac(id: number): Buffer {
  return Buffer.from([0xba, 0xda, 0x55, id >> 16, (id >> 8) & 255, id & 255]);
}
