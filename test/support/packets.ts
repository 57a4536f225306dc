// Builds packets for tests: Ethernet, VLAN and QinQ, IPv4 with options and fragments, IPv6 with extension
// headers, TCP, UDP, SCTP, ICMP; lengths and checksums are right unless a test breaks them on purpose.
//
// Sources: IEEE 802.1Q, RFC 791, 8200, 9293, 768, 9260, 792, 4443.

/** One 802.1Q tag. */
export interface VlanTag {
  readonly id: number;
  readonly priority?: number;
  /** 0x8100 customer tag, 0x88a8 service tag. */
  readonly tpid?: number;
}

export const protocols = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

/** The TCP/IP part of a packet. */
export interface Flow {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** What {@link buildPacket} puts around the flow. */
export interface PacketOptions {
  readonly payload?: Buffer | number;
  readonly vlans?: readonly VlanTag[];
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  /** IPv4 options, a multiple of 4 bytes up to 40. */
  readonly ipOptions?: Buffer;
  /** IPv6 extension headers before the transport header, without their next-header bytes' values. */
  readonly extensions?: readonly ('hop' | 'routing' | 'destination' | 'ah' | 'atomicFragment')[];
  readonly identification?: number;
  readonly ttl?: number;
}

/** The other direction of a flow. */
export function reverse(flow: Flow): Flow {
  return {
    protocol: flow.protocol,
    source: flow.destination,
    destination: flow.source,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
  };
}

function be16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 255, value & 255]);
}

function be32(value: number): Buffer {
  return Buffer.from([(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
}

/** An IPv4 or IPv6 address as bytes. */
export function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = tail === undefined ? [] : groups(tail);
  const zeros = tail === undefined ? [] : Array<number>(8 - first.length - last.length).fill(0);
  return Buffer.concat([...first, ...zeros, ...last].map(be16));
}

/** The internet checksum, RFC 1071. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** CRC-32C, RFC 9260 appendix A, bit by bit. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function macBytes(text: string): Buffer {
  return Buffer.from(text.split(':').map((part) => Number.parseInt(part, 16)));
}

/** An Ethernet frame around `payload`. */
export function ethernet(etherType: number, payload: Buffer, options: PacketOptions = {}): Buffer {
  const { vlans = [], sourceMac = '02:00:00:00:00:01', destinationMac = '02:00:00:00:00:02' } = options;
  const tags = vlans.map(({ id, priority = 0, tpid = 0x8100 }) =>
    Buffer.concat([be16(tpid), be16((priority << 13) | id)]),
  );
  return Buffer.concat([macBytes(destinationMac), macBytes(sourceMac), ...tags, be16(etherType), payload]);
}

function pseudoHeader(flow: Pick<Flow, 'source' | 'destination'>, protocol: number, length: number): Buffer {
  const addresses = [addressBytes(flow.source), addressBytes(flow.destination)];
  const isV6 = flow.source.includes(':');
  return Buffer.concat([...addresses, isV6 ? be32(length) : be16(length), isV6 ? be32(protocol) : be16(protocol)]);
}

/** The transport header and payload of a flow, checksummed. */
export function segment(flow: Flow, payload: Buffer): Buffer {
  const ports = Buffer.concat([be16(flow.sourcePort), be16(flow.destinationPort)]);
  if (flow.protocol === 'udp') {
    const udp = Buffer.concat([ports, be16(8 + payload.length), be16(0), payload]);
    const sum = internetChecksum(Buffer.concat([pseudoHeader(flow, protocols.udp, udp.length), udp]));
    udp.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
    return udp;
  }
  if (flow.protocol === 'tcp') {
    const tcp = Buffer.concat([
      ports,
      be32(1),
      be32(1),
      Buffer.from([0x50, 0x18]),
      be16(8192),
      be16(0),
      be16(0),
      payload,
    ]);
    tcp.writeUInt16BE(internetChecksum(Buffer.concat([pseudoHeader(flow, protocols.tcp, tcp.length), tcp])), 16);
    return tcp;
  }
  const chunk = Buffer.concat([
    Buffer.from([0, 3]),
    be16(16 + payload.length),
    be32(1),
    be16(0),
    be16(0),
    be32(0),
    payload,
  ]);
  const padding = Buffer.alloc((4 - (payload.length % 4)) % 4);
  const sctp = Buffer.concat([ports, be32(0x12345678), be32(0), chunk, padding]);
  sctp.writeUInt32LE(crc32c(sctp), 8);
  return sctp;
}

/** An IPv4 packet, or a fragment of one: `offset` in bytes, a multiple of 8. */
export function ipv4(
  addresses: Pick<Flow, 'source' | 'destination'>,
  protocol: number,
  payload: Buffer,
  options: PacketOptions & { readonly offset?: number; readonly isMore?: boolean } = {},
): Buffer {
  const { ipOptions = Buffer.alloc(0), identification = 1, ttl = 64, offset = 0, isMore = false } = options;
  const headerBytes = 20 + ipOptions.length;
  const header = Buffer.concat([
    Buffer.from([0x40 | (headerBytes / 4), 0]),
    be16(headerBytes + payload.length),
    be16(identification),
    be16((isMore ? 0x2000 : 0) | (offset / 8)),
    Buffer.from([ttl, protocol, 0, 0]),
    addressBytes(addresses.source),
    addressBytes(addresses.destination),
    ipOptions,
  ]);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

const extensionNumbers = { hop: 0, routing: 43, destination: 60, ah: 51, atomicFragment: 44 } as const;

function extensionBody(kind: keyof typeof extensionNumbers, next: number): Buffer {
  // PadN of the right size fills hop-by-hop and destination options; routing type 253 is for experiments.
  if (kind === 'hop') return Buffer.from([next, 0, 1, 4, 0, 0, 0, 0]);
  if (kind === 'destination') return Buffer.from([next, 1, 1, 12, ...Array<number>(12).fill(0)]);
  if (kind === 'routing') return Buffer.from([next, 2, 253, 0, ...Array<number>(20).fill(7)]);
  if (kind === 'atomicFragment') return Buffer.from([next, 0, 0, 0, 0, 0, 0, 9]);
  // AH counts its length in words less two.
  return Buffer.from([next, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, ...Array<number>(12).fill(5)]);
}

/** An IPv6 packet. `fragment` adds a fragment header behind the extension headers. */
export function ipv6(
  addresses: Pick<Flow, 'source' | 'destination'>,
  protocol: number,
  payload: Buffer,
  options: PacketOptions & { readonly fragment?: { offset: number; isMore: boolean; identification: number } } = {},
): Buffer {
  const { extensions = [], ttl = 64, fragment } = options;
  const kinds = extensions.map((kind) => extensionNumbers[kind]);
  const chain = [...kinds, ...(fragment === undefined ? [] : [44]), protocol];
  const headers = extensions.map((kind, i) => extensionBody(kind, chain[i + 1] ?? protocol));
  if (fragment !== undefined) {
    const word = fragment.offset | (fragment.isMore ? 1 : 0);
    headers.push(Buffer.concat([Buffer.from([protocol, 0]), be16(word), be32(fragment.identification)]));
  }
  const body = Buffer.concat([...headers, payload]);
  return Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    be16(body.length),
    Buffer.from([chain[0] ?? protocol, ttl]),
    addressBytes(addresses.source),
    addressBytes(addresses.destination),
    body,
  ]);
}

function payloadBytes(payload: Buffer | number | undefined): Buffer {
  if (payload !== undefined && typeof payload !== 'number') return payload;
  return Buffer.from(Array.from({ length: payload ?? 20 }, (_, i) => (i * 7 + 1) & 255));
}

/** A whole Ethernet frame of a flow, in the direction that the flow says. */
export function buildPacket(flow: Flow, options: PacketOptions = {}): Buffer {
  const content = segment(flow, payloadBytes(options.payload));
  const isV6 = flow.source.includes(':');
  const ip = isV6
    ? ipv6(flow, protocols[flow.protocol], content, options)
    : ipv4(flow, protocols[flow.protocol], content, options);
  return ethernet(isV6 ? 0x86dd : 0x0800, ip, options);
}

/** The fragments of one datagram of a flow, in order; each carries up to `bytes` (a multiple of 8). */
export function buildFragments(
  flow: Flow,
  bytes: number,
  identification: number,
  options: PacketOptions = {},
): Buffer[] {
  const content = segment(flow, payloadBytes(options.payload));
  const frames: Buffer[] = [];
  for (let offset = 0; offset < content.length; offset += bytes) {
    const part = content.subarray(offset, offset + bytes);
    const isMore = offset + bytes < content.length;
    const protocol = protocols[flow.protocol];
    frames.push(
      flow.source.includes(':')
        ? ethernet(
            0x86dd,
            ipv6(flow, protocol, part, { ...options, fragment: { offset, isMore, identification } }),
            options,
          )
        : ethernet(0x0800, ipv4(flow, protocol, part, { ...options, identification, offset, isMore }), options),
    );
  }
  return frames;
}

/** An echo request or reply, ICMP or ICMPv6. */
export function buildEcho(
  addresses: Pick<Flow, 'source' | 'destination'>,
  isReply: boolean,
  id = 1,
  options: PacketOptions = {},
): Buffer {
  const isV6 = addresses.source.includes(':');
  const type = isV6 ? (isReply ? 129 : 128) : isReply ? 0 : 8;
  const icmp = Buffer.concat([Buffer.from([type, 0, 0, 0]), be16(id), be16(1), payloadBytes(options.payload)]);
  const prefix = isV6 ? pseudoHeader(addresses, protocols.icmp6, icmp.length) : Buffer.alloc(0);
  icmp.writeUInt16BE(internetChecksum(Buffer.concat([prefix, icmp])), 2);
  return isV6
    ? ethernet(0x86dd, ipv6(addresses, protocols.icmp6, icmp, options), options)
    : ethernet(0x0800, ipv4(addresses, protocols.icmp, icmp, options), options);
}
