// Packets that tell by a number in them which ones are missing, and in which order the others came.
import type { Pipe } from '../../index.ts';

/** What each takes in a ring: its 1000 bytes, rounded up to whole cache lines. */
export const numberedRingBytes = 1024;

const numberOffset = 14;

/** Packets number `first` and following. */
export function numbered(first: number, count: number): Buffer[] {
  return range(first, count).map((number) => {
    const packet = Buffer.alloc(1000);
    packet.writeUInt32BE(number, numberOffset);
    return packet;
  });
}

/** The numbers themselves. */
export function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Reads whole batches until there are `count` packets at least; their numbers. Gives them back. */
export async function takeNumbers(pipe: Pipe, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) {
    const { value: batch, done } = await pipe.next();
    if (done === true) break;
    for (const packet of batch) numbers.push(Buffer.from(packet.data).readUInt32BE(numberOffset));
    batch.release();
  }
  return numbers;
}
