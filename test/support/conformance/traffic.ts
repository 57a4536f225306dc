// What the conformance suite sends: frames of every kind and length, each another one, told by its flow.
//
// The bytes are pseudo-random from a fixed seed, so that a frame that is cut, shifted or mixed up is seen.
import { buildPacket, ethernet, type Flow, type VlanTag } from '../packets.ts';

/** A frame, and the connection it is of: frames of one flow keep together. */
export interface Sent {
  readonly data: Buffer;
  readonly flow: string;
}

const flowsMax = 97;

/** xorshift32, Marsaglia 2003. */
function randomBytes(seed: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  let state = (seed + 1) * 0x9e3779b1;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 255;
  }
  return bytes;
}

function macs(flow: number): { sourceMac: string; destinationMac: string } {
  const last = flow.toString(16).padStart(2, '0');
  return { sourceMac: `02:00:00:00:01:${last}`, destinationMac: `02:00:00:00:02:${last}` };
}

type Kind = 'udp' | 'tcp' | 'udp6' | 'arp' | 'other';
const kinds: readonly Kind[] = ['udp', 'tcp', 'udp6', 'arp', 'other'];

/** Bytes before the payload of each kind, without tags. */
const headerBytes: Readonly<Record<Kind, number>> = { udp: 42, tcp: 54, udp6: 62, arp: 14, other: 14 };

/** Frame number `number`, so long; as Ethernet and random bytes where it is too short for its kind. */
function makeFrame(number: number, bytes: number, vlans: readonly VlanTag[] = []): Sent {
  const wanted = kinds[number % kinds.length] ?? 'other';
  const tagBytes = vlans.length * 4;
  // Of an IP packet that is longer than its length field can say only the Ethernet part is left.
  const fits = bytes >= headerBytes[wanted] + tagBytes && bytes <= 65535;
  const kind = fits ? wanted : 'other';
  const flowNumber = Math.floor(number / kinds.length) % flowsMax;
  const payload = randomBytes(number, bytes - headerBytes[kind] - tagBytes);
  const options = { ...macs(flowNumber), vlans, payload };
  const flow = `${kind} ${flowNumber} ${vlans.map(({ id }) => id)}`;
  if (kind === 'arp' || kind === 'other')
    return { data: ethernet(kind === 'arp' ? 0x0806 : 0x88b5, payload, options), flow };
  const addresses: Flow = {
    source: kind === 'udp6' ? `fd00:1::${flowNumber + 1}` : `10.1.0.${flowNumber + 1}`,
    destination: kind === 'udp6' ? `fd00:2::${flowNumber + 1}` : `10.2.0.${flowNumber + 1}`,
    protocol: kind === 'tcp' ? 'tcp' : 'udp',
    sourcePort: 1024 + flowNumber,
    destinationPort: 443,
  };
  return { data: buildPacket(addresses, options), flow };
}

/** One frame of each of these lengths, kinds and flows in turn. */
export function framesOf(lengths: readonly number[]): Sent[] {
  return lengths.map((bytes, i) => makeFrame(i, bytes));
}

/** `first`, `first` + `step`, ... up to `last`. */
export function lengthsBetween(first: number, last: number, step = 1): number[] {
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
}

/** Every length that an untagged frame has on Ethernet. */
export const everyLength: readonly Sent[] = framesOf(lengthsBetween(60, 1514));

/** Many frames, mostly short ones, each with enough payload to be like no other. */
export function manyFrames(count: number): Sent[] {
  return framesOf(Array.from({ length: count }, (_, i) => (i % 16 === 0 ? 1514 - (i % 500) : 70 + (i % 200))));
}

const tagged: readonly (readonly VlanTag[])[] = [
  [{ id: 1 }],
  [{ id: 4095, priority: 7 }],
  [{ id: 0, priority: 5 }],
  [{ id: 100, tpid: 0x88a8 }],
  [{ id: 0, priority: 1, tpid: 0x88a8 }, { id: 7 }],
  [{ id: 100, tpid: 0x88a8, priority: 3 }, { id: 200 }],
  [{ id: 100 }, { id: 200, priority: 2 }],
  [{ id: 100, tpid: 0x88a8 }, { id: 200 }, { id: 300 }],
];

/**
 * Frames with tags: one and more of them, both kinds, priorities without a VLAN (id 0), the highest id. A frame of full
 * size may have one tag of 802.1Q on top, no other one.
 */
export const taggedFrames: readonly Sent[] = [
  ...tagged.flatMap((vlans, i) => [64, 65, 512, 1514].map((bytes, n) => makeFrame(i * 4 + n, bytes, vlans))),
  makeFrame(100, 1518, [{ id: 9, priority: 6 }]),
];
