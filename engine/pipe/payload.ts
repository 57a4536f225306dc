// Where the payload of a packet lies, behind its transport header. Called by batch.ts; what headers say is believed as
// far as the captured bytes go.

/** A packet in memory, its headers parsed. */
export interface ParsedPacket {
  readonly memory: Uint8Array;
  /** In the memory: of the packet, and behind its last captured byte. */
  readonly start: number;
  readonly end: number;
  readonly ipVersion: number;
  readonly protocol: number;
  /** In the packet. */
  readonly l3Offset: number;
  readonly l4Offset: number;
}

/** Bytes of the transport header; 0: of a protocol that is not known (IANA's numbers; RFC 9293, 768, 4340, 9260, 3828). */
function headerBytes(protocol: number, memory: Uint8Array, l4: number): number {
  switch (protocol) {
    case 6:
      return Math.max(20, ((memory[l4 + 12] ?? 0) >> 4) * 4);
    case 17:
    case 136:
      return 8;
    case 33:
      return Math.max(12, (memory[l4 + 4] ?? 0) * 4);
    case 132:
      return 12;
    default:
      return 0;
  }
}

/** The end of the IP packet: padding of the frame is none of its payload. Length 0 is of who leaves it to hardware. */
function ipEnd({ memory, start, end, ipVersion, l3Offset }: ParsedPacket): number {
  const l3 = start + l3Offset;
  const at = l3 + (ipVersion === 4 ? 2 : 4);
  const stated = ((memory[at] ?? 0) << 8) | (memory[at + 1] ?? 0);
  if (stated === 0) return end;
  return Math.min(end, l3 + (ipVersion === 4 ? 0 : 40) + stated);
}

/** Where the payload starts and ends in the memory; undefined where there is no transport header that is known. */
export function payloadBounds(packet: ParsedPacket): { readonly start: number; readonly end: number } | undefined {
  if (packet.l4Offset === 0) return undefined;
  const l4 = packet.start + packet.l4Offset;
  const header = headerBytes(packet.protocol, packet.memory, l4);
  if (header === 0) return undefined;
  const end = ipEnd(packet);
  return l4 + header <= end ? { start: l4 + header, end } : undefined;
}
