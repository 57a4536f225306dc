// Reading a pipe from JavaScript: openPipe(), and what `for await (const batch of pipe)` goes through.
//
// One thread reads a pipe. Each step of the loop is one native call for a whole batch; waiting is a descriptor in the
// event loop, which costs nothing while there is no packet.
import { abi } from '../abi.ts';
import { BricksError } from '../errors.ts';
import {
  clientArm,
  clientClose,
  clientCounts,
  clientLinkType,
  clientMemory,
  clientRead,
  clientRelease,
} from '../native.ts';
import type { OptionSchemas } from '../options.ts';
import { Batch } from './batch.ts';
import { attach, checkOpenOptions, type OpenOptions } from './open.ts';
import { PacketIndex } from './packet_index.ts';
import { Readiness } from './readiness.ts';

const schemas: OptionSchemas = {
  batchPackets: {
    type: 'integer',
    default: 512,
    min: 1,
    max: abi.batchPacketsMax,
    unit: 'packets',
    text: 'the most that a batch holds',
  },
};

/** How to read a pipe. */
export interface PipeOptions extends OpenOptions {
  /** The most packets of a batch, 1 to 4096; 512 if not given. */
  readonly batchPackets?: number;
}

/** What has become of the packets for a reader. */
export interface PipeCounts {
  /** Put into the ring, whether read yet or not. */
  readonly received: number;
  /** Not put there: the ring was full, or the packet too long for it. */
  readonly dropped: number;
}

/** errno values of the reader library, as negative numbers. */
const endOfStream = -32; // EPIPE

/**
 * A pipe that is being read.
 *
 * `for await (const batch of pipe)` ends at the end of the stream, when the engine stops or dies, and after close().
 * A batch holds until the loop comes round again. Leaving the loop, however that is done, closes the pipe.
 */
export class Pipe implements AsyncIterableIterator<Batch, undefined> {
  readonly name: string;
  readonly #client: number;
  readonly #index: PacketIndex;
  readonly #readiness: Readiness;
  readonly #signal: AbortSignal | undefined;
  readonly #result: { readonly done: false; readonly value: Batch };
  readonly #abort = (): void => this.close();
  #lastCounts: PipeCounts = { received: 0, dropped: 0 };
  #failure: BricksError | undefined;
  #isOpen = true;
  #isAwaited = false;
  #isHeld = false;

  /** Called by {@link openPipe} only. */
  constructor(name: string, client: number, batchPackets: number, signal: AbortSignal | undefined) {
    this.name = name;
    this.#client = client;
    this.#index = new PacketIndex(batchPackets);
    this.#readiness = new Readiness(client);
    this.#signal = signal;
    const batch = new Batch(clientMemory(client), { client, index: this.#index, release: () => this.#release() });
    this.#result = { done: false, value: batch };
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted === true) this.close();
  }

  /** False after the end of the stream as well. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The link type, a LINKTYPE_ number of pcap (1 is Ethernet), known once there was a packet. */
  get linkType(): number | undefined {
    const type = this.#isOpen ? clientLinkType(this.#client) : -1;
    return type < 0 ? undefined : type;
  }

  /** Since it was opened: packets that the engine has put into the ring, and those that it could not. No system call. */
  counts(): PipeCounts {
    if (this.#isOpen) this.#lastCounts = clientCounts(this.#client);
    return this.#lastCounts;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next batch; the one before is released. One call at a time: PIPE_AWAITED. */
  next(): Promise<IteratorResult<Batch, undefined>> {
    if (this.#isAwaited) return Promise.reject(BricksError.of('PIPE_AWAITED', { pipe: this.name }));
    this.#release();
    if (this.#isOpen && !this.#readiness.isTurnDue && this.#read() > 0) return Promise.resolve(this.#result);
    this.#isAwaited = true;
    return this.#await().finally(() => {
      this.#isAwaited = false;
    });
  }

  /** Called where a loop is left. */
  return(): Promise<IteratorResult<Batch, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Detaches at once; a loop that waits ends. May be called again, and from anywhere on this thread. */
  close(): void {
    if (!this.#isOpen) return;
    this.counts();
    this.#isOpen = false;
    this.#index.count = 0;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#readiness.close();
    clientClose(this.#client);
  }

  async #await(): Promise<IteratorResult<Batch, undefined>> {
    while (this.#isOpen) {
      if (this.#readiness.isTurnDue) await this.#readiness.turn();
      else if (this.#read() > 0) return this.#result;
      else if (this.#isOpen && clientArm(this.#client) === 0) await this.#readiness.sleep();
    }
    this.#signal?.throwIfAborted();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
    return { done: true, value: undefined };
  }

  /** Fills the batch; 0: nothing there, or the end, and the pipe is closed. */
  #read(): number {
    const count = clientRead(this.#client, this.#index.bytes);
    if (count <= 0) {
      if (count < 0 && count !== endOfStream) this.#failure = BricksError.of('PIPE_BROKEN', { pipe: this.name });
      if (count < 0) this.close();
      return 0;
    }
    this.#index.count = count;
    this.#isHeld = true;
    return count;
  }

  #release(): void {
    if (this.#isHeld && this.#isOpen) clientRelease(this.#client);
    this.#isHeld = false;
    this.#index.count = 0;
  }
}

/**
 * Attaches to a pipe, `eth3}0`, to read it; the engine may be in this process or in another one.
 *
 * Rejects with a {@link BricksError}: ENOENT no engine serves it (see `wait`), EBUSY another application reads it,
 * ENOTSUP packets go the other way, EACCES it is another user's.
 */
export async function openPipe(name: string, options: PipeOptions = {}): Promise<Pipe> {
  const { batchPackets } = checkOpenOptions(name, schemas, options);
  const client = await attach(name, 'read', options);
  return new Pipe(name, client, Number(batchPackets), options.signal);
}
