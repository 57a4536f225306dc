// The index of a batch: an array of struct pb_client_record (native/include/packet_bricks.h), as JavaScript sees it.
//
// C fills it when a batch is read, and takes it when packets are sent; batch.ts and writer.ts look into it. It is
// read by plain array accesses: no call and no object for a packet.
import { abi } from '../abi.ts';

/** 32-bit words of a record; the places of its fields, in words. */
export const recordWords = abi.clientRecordBytes / 4;
export const field = {
  offset: 0,
  capturedLength: 1,
  wireLength: 2,
  mark: 3,
  timestampLow: 4,
  timestampHigh: 5,
  flowHash: 6,
  l4Offset: 7,
  /** 16 bits of l3_offset, 8 of ip_version, 8 of ip_protocol. */
  l3: 8,
  fromBytes: 9,
} as const;

/** Records side by side, of which the first `count` hold. */
export class PacketIndex {
  readonly capacity: number;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Timestamps stand at `5 * i + 2`. */
  readonly times: BigUint64Array;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    const buffer = new ArrayBuffer(capacity * abi.clientRecordBytes);
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.times = new BigUint64Array(buffer);
  }
}
