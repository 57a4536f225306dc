// A batch of packets as an application sees it: views into the ring, headers already parsed by the data plane.
//
// pipe.ts fills it, over and over: a batch and its packets hold until the next one is asked for, or release().
// The memory is the engine's ring, mapped read-only: writing to a view ends the process (SIGSEGV); copy() first.
import { BricksError } from '../errors.ts';
import { ipv4Text, ipv6Text } from './address_text.ts';
import { field, type PacketIndex, recordWords } from './packet_index.ts';
import { payloadBounds } from './payload.ts';

/** Protocols whose header starts with two ports: TCP, UDP, DCCP, SCTP, UDP-Lite (IANA). */
const protocolsWithPorts: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

/** Where a batch is from, for those that send it on. */
export interface BatchSource {
  /** Its reader's handle. */
  readonly client: number;
  readonly index: PacketIndex;
  /** Holds the records that are not in the reader's ring, where there are such. */
  readonly bytes?: Uint8Array;
  release(): void;
}

/** The source of a batch: for writer.ts, and the Script brick's host. */
export let batchSource: (batch: Batch) => BatchSource;

/**
 * Packets in shared memory, numbered from 0 to `count - 1`.
 *
 * Offsets of headers count from the packet's first byte. A packet of a batch that was released is gone: PACKET_GONE.
 */
export class Batch implements Iterable<Packet> {
  /** The whole ring: packet `i` is `length(i)` bytes at `offset(i)`. Read-only memory. */
  readonly memory: Uint8Array;
  readonly #buffer: ArrayBufferLike;
  readonly #index: PacketIndex;
  readonly #source: BatchSource;

  static {
    batchSource = (batch) => batch.#source;
  }

  /** Called by pipe.ts only. */
  constructor(memory: Uint8Array, source: BatchSource) {
    this.memory = memory;
    this.#buffer = memory.buffer;
    this.#index = source.index;
    this.#source = source;
  }

  /** How many packets there are: 0 once it was released. */
  get count(): number {
    return this.#index.count;
  }

  /** Gives the packets back before the next batch is asked for, so that the engine can use their room. */
  release(): void {
    this.#source.release();
  }

  /** Packet `i` as an object: dearer than the methods that take `i`, and nicer. */
  packet(i: number): Packet {
    this.check(i);
    return new Packet(this, i);
  }

  [Symbol.iterator](): Iterator<Packet> {
    return new Packets<Packet>(this);
  }

  /** Of its first byte, in {@link Batch.memory}. */
  offset(i: number): number {
    return this.#word(i, field.offset);
  }

  /** Captured bytes. */
  length(i: number): number {
    return this.#word(i, field.capturedLength);
  }

  /** Bytes it had on the wire: more than {@link Batch.length} where the capture was cut short. */
  wireLength(i: number): number {
    return this.#word(i, field.wireLength);
  }

  /** Its bytes: a view. */
  data(i: number): Uint8Array {
    // Half the cost of memory.subarray().
    return new Uint8Array(this.#buffer, this.offset(i), this.length(i));
  }

  /** The bytes behind its TCP, UDP, UDP-Lite, SCTP or DCCP header: a view. Undefined where there is no such header. */
  payload(i: number): Uint8Array | undefined {
    const start = this.offset(i);
    const bounds = payloadBounds({
      memory: this.memory,
      start,
      end: start + this.length(i),
      ipVersion: this.ipVersion(i),
      protocol: this.protocol(i),
      l3Offset: this.l3Offset(i),
      l4Offset: this.l4Offset(i),
    });
    return bounds && this.memory.subarray(bounds.start, bounds.end);
  }

  /** Its bytes, to be kept or changed. */
  copy(i: number): Uint8Array {
    return this.data(i).slice();
  }

  /** Since 1970-01-01 00:00 UTC. */
  timestampNs(i: number): bigint {
    this.check(i);
    return this.#index.times[(i * recordWords + field.timestampLow) / 2] ?? 0n;
  }

  /** Seconds since 1970-01-01 00:00 UTC; a number holds a quarter of a microsecond. */
  timestamp(i: number): number {
    return (this.#word(i, field.timestampHigh) * 2 ** 32 + this.#word(i, field.timestampLow)) / 1e9;
  }

  /** The symmetric flow hash over addresses, ports and protocol: both directions of a connection have the same. */
  flowHash(i: number): number {
    return this.#word(i, field.flowHash);
  }

  /** 4 or 6; 0: not IP. */
  ipVersion(i: number): number {
    return (this.#word(i, field.l3) >>> 16) & 0xff;
  }

  /** The IP protocol behind extension headers: 6 TCP, 17 UDP, ... */
  protocol(i: number): number {
    return this.#word(i, field.l3) >>> 24;
  }

  /** Of the IP header, behind any VLAN tags; it means nothing where ipVersion is 0. */
  l3Offset(i: number): number {
    return this.#word(i, field.l3) & 0xffff;
  }

  /** Of the transport header; 0: there is none within the captured bytes, or the packet is a fragment. */
  l4Offset(i: number): number {
    return this.#word(i, field.l4Offset);
  }

  /** 0 where the protocol has no ports, or the packet is a fragment. */
  sourcePort(i: number): number {
    return this.#port(i, 0);
  }

  /** As {@link Batch.sourcePort}. */
  destinationPort(i: number): number {
    return this.#port(i, 2);
  }

  /** As text; undefined where the packet is not IP. */
  sourceAddress(i: number): string | undefined {
    return this.#address(i, 12, 8);
  }

  /** As {@link Batch.sourceAddress}. */
  destinationAddress(i: number): string | undefined {
    return this.#address(i, 16, 24);
  }

  /** Throws PACKET_GONE where there is no packet `i`. */
  protected check(i: number): void {
    if (i >>> 0 >= this.#index.count) throw BricksError.of('PACKET_GONE', { packet: i, count: this.#index.count });
  }

  #word(i: number, place: number): number {
    this.check(i);
    return this.#index.words[i * recordWords + place] ?? 0;
  }

  #port(i: number, place: number): number {
    const l4 = this.l4Offset(i);
    if (l4 === 0 || !protocolsWithPorts.has(this.protocol(i))) return 0;
    const at = this.offset(i) + l4 + place;
    return ((this.memory[at] ?? 0) << 8) | (this.memory[at + 1] ?? 0);
  }

  #address(i: number, ipv4Place: number, ipv6Place: number): string | undefined {
    const version = this.ipVersion(i);
    const at = this.offset(i) + this.l3Offset(i);
    if (version === 4) return ipv4Text(this.memory, at + ipv4Place);
    return version === 6 ? ipv6Text(this.memory, at + ipv6Place) : undefined;
  }
}

/** One packet of a {@link Batch}, for as long as that holds. Everything is as the batch's method of the same name. */
export class Packet {
  readonly #batch: Batch;
  readonly #i: number;

  /** Called by {@link Batch} only. */
  constructor(batch: Batch, i: number) {
    this.#batch = batch;
    this.#i = i;
  }

  get data(): Uint8Array {
    return this.#batch.data(this.#i);
  }

  get payload(): Uint8Array | undefined {
    return this.#batch.payload(this.#i);
  }

  get length(): number {
    return this.#batch.length(this.#i);
  }

  get wireLength(): number {
    return this.#batch.wireLength(this.#i);
  }

  get timestampNs(): bigint {
    return this.#batch.timestampNs(this.#i);
  }

  get timestamp(): number {
    return this.#batch.timestamp(this.#i);
  }

  get flowHash(): number {
    return this.#batch.flowHash(this.#i);
  }

  get ipVersion(): number {
    return this.#batch.ipVersion(this.#i);
  }

  get protocol(): number {
    return this.#batch.protocol(this.#i);
  }

  get l3Offset(): number {
    return this.#batch.l3Offset(this.#i);
  }

  get l4Offset(): number {
    return this.#batch.l4Offset(this.#i);
  }

  get sourcePort(): number {
    return this.#batch.sourcePort(this.#i);
  }

  get destinationPort(): number {
    return this.#batch.destinationPort(this.#i);
  }

  get sourceAddress(): string | undefined {
    return this.#batch.sourceAddress(this.#i);
  }

  get destinationAddress(): string | undefined {
    return this.#batch.destinationAddress(this.#i);
  }

  /** Its bytes, to be kept or changed. */
  copy(): Uint8Array {
    return this.#batch.copy(this.#i);
  }

  /** The byte at `at`, without a view of the packet: 0 behind its end. */
  byte(at: number): number {
    return at >>> 0 < this.length ? (this.#batch.memory[this.#batch.offset(this.#i) + at] ?? 0) : 0;
  }
}

/** Goes through a batch. A class of its own, not a generator: that costs twice as much. */
export class Packets<P extends Packet> implements Iterator<P> {
  readonly #batch: { readonly count: number; packet(i: number): P };
  #next = 0;

  constructor(batch: { readonly count: number; packet(i: number): P }) {
    this.#batch = batch;
  }

  next(): IteratorResult<P, undefined> {
    if (this.#next >= this.#batch.count) return { done: true, value: undefined };
    return { done: false, value: this.#batch.packet(this.#next++) };
  }
}
