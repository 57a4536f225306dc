// Writing a pipe from JavaScript: openPipeWriter(), for applications that send packets into an engine.
//
// One thread writes a pipe. Packets are copied into the ring by one native call for a batch; whoever outruns the engine
// waits for room with drain() or send().
import { abi } from '../abi.ts';
import { BricksError } from '../errors.ts';
import { clientArm, clientBacklog, clientClose, clientDecline, clientSend, clientSetLinkType } from '../native.ts';
import { Batch, batchSource } from './batch.ts';
import { attach, checkOpenOptions, type OpenOptions } from './open.ts';
import { field, PacketIndex, recordWords } from './packet_index.ts';
import { Readiness } from './readiness.ts';

/** What goes with packets that are written. */
export interface WriteOptions {
  /** Since 1970-01-01 00:00 UTC; the time of the write if not given. */
  readonly timestampNs?: bigint;
  /** Bytes it had on the wire; its length if not given. */
  readonly wireLength?: number;
  /** An inline application's word to the engine: which output, 0 if not given. */
  readonly mark?: number;
}

/** Packets to be written: the bytes of one, of several, or a batch as it was read. */
export type Writable = Uint8Array | readonly Uint8Array[] | Batch;

/** Packets of bytes that cross in one call. */
const gatherPackets = 256;
const gatherBytes = 2 * abi.frameBytesMax;

/** What the writer library answers, besides counts. */
const status = { messageTooLong: -90, brokenPipe: -32 } as const;

function checkRange(what: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw BricksError.of('LIMIT_EXCEEDED', { what, value, min, max });
  }
  return value;
}

/** A pipe that is being written. */
export class PipeWriter {
  readonly name: string;
  readonly #client: number;
  readonly #readiness: Readiness;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.close();
  readonly #index = new PacketIndex(gatherPackets);
  readonly #gathered = new Uint8Array(gatherBytes);
  #isOpen = true;
  #isAwaited = false;

  /** Called by {@link openPipeWriter} only. */
  constructor(name: string, client: number, signal: AbortSignal | undefined) {
    this.name = name;
    this.#client = client;
    this.#readiness = new Readiness(client);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted === true) this.close();
  }

  /** False once the engine has gone as well. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes of the ring that the engine has not taken yet. */
  get backlog(): number {
    return this.#isOpen ? clientBacklog(this.#client) : 0;
  }

  /** Says the link type, a LINKTYPE_ number of pcap, before the first packet is written: Ethernet if it is not said. */
  setLinkType(linkType: number): void {
    checkRange(`pipe "${this.name}": linkType`, linkType, 0, 0xffff);
    const result = clientSetLinkType(this.#client, linkType);
    if (result < 0) throw BricksError.of('PIPE_BEGUN', { pipe: this.name });
  }

  /**
   * Copies packets into the ring, from the front as many as there is room for; returns how many. Fewer than given: wait
   * for room with drain(), then go on behind them. `from` is the first of them to be written; of a batch, nothing else
   * in `options` counts.
   *
   * Throws PACKET_TOO_LONG where the first one is, PIPE_ENDED when the engine has gone, PIPE_CLOSED.
   */
  write(packets: Writable, options: WriteOptions & { readonly from?: number } = {}): number {
    if (!this.#isOpen) throw this.#closedError();
    this.#check(packets, options);
    const { from = 0 } = options;
    if (packets instanceof Batch) return this.#writeBatch(packets, from);
    return this.#writeBytes(packets instanceof Uint8Array ? [packets] : packets, from, options);
  }

  /** Writes all, waiting for room where there is none. The engine has them in its ring then: see backlog. */
  async send(packets: Writable, options: WriteOptions = {}): Promise<void> {
    this.#check(packets, options);
    const count = packets instanceof Batch ? packets.count : packets instanceof Uint8Array ? 1 : packets.length;
    for (let done = 0; done < count; ) {
      done += this.write(packets, { ...options, from: done });
      if (done < count) await this.drain();
    }
    if (this.#readiness.isTurnDue) await this.#readiness.turn();
  }

  /** Waits until half of the ring is free, and there is room for what was refused. */
  async drain(): Promise<void> {
    if (this.#isAwaited) throw BricksError.of('PIPE_AWAITED', { pipe: this.name });
    this.#isAwaited = true;
    try {
      while (this.#isOpen) {
        const armed = clientArm(this.#client);
        if (armed > 0) break;
        if (armed < 0) this.#fail(armed, 0);
        await this.#readiness.sleep();
      }
    } finally {
      this.#isAwaited = false;
    }
    if (!this.#isOpen) throw this.#closedError();
    if (this.#readiness.isTurnDue) await this.#readiness.turn();
  }

  /** Tells the engine of packets that the application had and does not send on: they are `declined` in its counters. */
  decline(packets: number): void {
    if (!this.#isOpen) throw this.#closedError();
    clientDecline(this.#client, checkRange('declined packets', packets, 0, 0xffff_ffff));
  }

  /** Detaches; the engine still takes what was written. May be called again. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#readiness.close();
    clientClose(this.#client);
  }

  /** What callers without types get wrong. */
  #check(packets: unknown, { timestampNs }: WriteOptions): void {
    const what = `pipe "${this.name}"`;
    const isBytes = (value: unknown): boolean => value instanceof Uint8Array;
    if (!isBytes(packets) && !(packets instanceof Batch) && !(Array.isArray(packets) && packets.every(isBytes))) {
      const hint = 'give a Uint8Array, an array of them, or a Batch';
      throw BricksError.of('ARGUMENT_INVALID', { what, problem: 'these are no packets', hint });
    }
    if (timestampNs !== undefined && typeof timestampNs !== 'bigint') {
      const hint = 'give a bigint, nanoseconds since 1970';
      throw BricksError.of('ARGUMENT_INVALID', { what, problem: 'timestampNs is no bigint', hint });
    }
  }

  #writeBatch(batch: Batch, from: number): number {
    const { client, index, bytes } = batchSource(batch);
    const count = index.count - checkRange(`pipe "${this.name}": from`, from, 0, index.count);
    const sent = clientSend(this.#client, client, index.bytes.subarray(from * abi.clientRecordBytes), count, bytes);
    return sent < 0 ? this.#fail(sent, batch.length(from)) : sent;
  }

  #writeBytes(packets: readonly Uint8Array[], from: number, options: WriteOptions): number {
    let next = checkRange(`pipe "${this.name}": from`, from, 0, packets.length);
    while (next < packets.length) {
      const count = this.#gather(packets, next, options);
      const sent =
        count > 0 ? clientSend(this.#client, 0, this.#index.bytes, count, this.#gathered) : status.messageTooLong;
      if (sent < 0 && next === from) this.#fail(sent, packets[next]?.length ?? 0);
      // What stopped it stops the next call as well.
      if (sent > 0) next += sent;
      if (sent < count || sent <= 0) break;
    }
    return next - from;
  }

  /** Copies packets side by side, from number `from` on as many as fit; returns how many. 0: that one fits nowhere. */
  #gather(packets: readonly Uint8Array[], from: number, options: WriteOptions): number {
    let at = 0;
    let count = 0;
    for (; from + count < packets.length && count < gatherPackets; count++) {
      const packet = packets[from + count] as Uint8Array;
      if (packet.length > abi.frameBytesMax || at + packet.length > gatherBytes) break;
      this.#gathered.set(packet, at);
      this.#describe(count, at, packet.length, options);
      at += packet.length;
    }
    return count;
  }

  /** Fills in record `i` of the index. */
  #describe(i: number, offset: number, length: number, options: WriteOptions): void {
    const { timestampNs = 0n, wireLength = length, mark = 0 } = options;
    const { words, times } = this.#index;
    const at = i * recordWords;
    words[at + field.offset] = offset;
    words[at + field.capturedLength] = length;
    words[at + field.wireLength] = checkRange(`pipe "${this.name}": wireLength`, wireLength, length, 0xffff_ffff);
    words[at + field.mark] = checkRange(`pipe "${this.name}": mark`, mark, 0, abi.markMax);
    words[at + field.fromBytes] = 1;
    times[(at + field.timestampLow) / 2] = timestampNs;
  }

  /** `bytes`: the length of the first packet that was not written. */
  #fail(code: number, bytes: number): never {
    if (code === status.messageTooLong) {
      throw BricksError.of('PACKET_TOO_LONG', { pipe: this.name, bytes, max: abi.frameBytesMax });
    }
    if (code !== status.brokenPipe) throw BricksError.native(code, `pipe "${this.name}": cannot be written`);
    this.close();
    throw BricksError.of('PIPE_ENDED', { pipe: this.name });
  }

  #closedError(): unknown {
    if (this.#signal?.aborted === true) return this.#signal.reason;
    return BricksError.of('PIPE_CLOSED', { pipe: this.name });
  }
}

/**
 * Attaches to a pipe that is an engine's input, `app}0`, to write it; the engine may be in this process or another one.
 *
 * Rejects with a {@link BricksError}: ENOENT no engine serves it (see `wait`), EBUSY another application writes it,
 * ENOTSUP packets go the other way, EACCES it is another user's.
 */
export async function openPipeWriter(name: string, options: OpenOptions = {}): Promise<PipeWriter> {
  checkOpenOptions(name, {}, options);
  const client = await attach(name, 'write', options);
  return new PipeWriter(name, client, options.signal);
}
