// One end of a control connection: messages in, messages out. The daemon has one for each client, a client has one.
import type { Socket } from 'node:net';
import { type Deferred, deferred } from '../deferred.ts';
import { clientMessageBytesMax, daemonMessageBytesMax, encodeFrame, FrameReader } from './frame.ts';
import { lineOpening } from './lines.ts';

/** How long a peer may take to finish a frame that it has begun. */
const frameMsMax = 10_000;

const halfFrame = `half a frame, and not the rest within ${frameMsMax / 1000} s`;

/** What an end of a connection does with what arrives. */
export interface ConnectionEvents {
  /** May throw: the connection is then closed, as for bytes that are no message. */
  message(value: unknown): void;
  /** Called once. The error is why, undefined where the peer closed it. */
  closed(error: Error | undefined): void;
  /** The peer has opened with lines (lines.ts) instead of a frame: from `bytes` on the data is for whoever knows them. */
  lines?(socket: Socket, bytes: Buffer): void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #sendBytesMax: number;
  readonly #events: ConnectionEvents;
  #frameTimer: NodeJS.Timeout | undefined;
  #error: Error | undefined;
  /** Frames of this turn of the event loop. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  #drained: Deferred<void> | undefined;

  constructor(socket: Socket, end: 'client' | 'daemon', events: ConnectionEvents) {
    this.#socket = socket;
    this.#reader = new FrameReader(end === 'daemon' ? clientMessageBytesMax : daemonMessageBytesMax);
    this.#sendBytesMax = end === 'daemon' ? daemonMessageBytesMax : clientMessageBytesMax;
    this.#events = events;
    socket.once('data', (bytes: Buffer) => this.#begin(bytes));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('drain', () => this.#settleDrained());
    socket.on('close', () => {
      this.#stopFrameTimer();
      this.#settleDrained();
      events.closed(this.#error);
    });
  }

  /** Bytes that were sent and that the system has not taken yet: the peer does not read. */
  get unsentBytes(): number {
    return this.#unsentBytes + this.#socket.writableLength;
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /** Sends a message. Throws ProtocolError for one that is too long. Nothing happens once the connection is closed. */
  send(message: unknown): void {
    const frame = encodeFrame(message, this.#sendBytesMax);
    if (!this.isOpen) return;
    // What is sent within one turn of the event loop leaves with one system call.
    this.#unsent.push(frame);
    this.#unsentBytes += frame.length;
    if (this.#unsent.length === 1) process.nextTick(this.#flush);
  }

  /** Settles when everything sent is with the system, or the connection is closed. */
  drained(): Promise<void> {
    if (!this.isOpen) return Promise.resolve();
    this.#drained ??= deferred();
    return this.#drained.promise;
  }

  /** Closes in order: what was sent before still arrives, where the peer reads it within a second. */
  close(): void {
    if (this.#socket.destroyed) return;
    this.#flush();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 1000).unref();
  }

  readonly #flush = (): void => {
    const frames = this.#unsent;
    this.#unsent = [];
    this.#unsentBytes = 0;
    const only = frames.length === 1 ? frames[0] : undefined;
    if (frames.length > 0 && this.isOpen) this.#socket.write(only ?? Buffer.concat(frames));
  };

  #settleDrained(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  #begin(bytes: Buffer): void {
    if (this.#events.lines !== undefined && bytes[0] === lineOpening) {
      this.#events.lines(this.#socket, bytes);
      return;
    }
    this.#socket.on('data', (more: Buffer) => this.#receive(more));
    this.#receive(bytes);
  }

  #receive(bytes: Buffer): void {
    try {
      for (const message of this.#reader.read(bytes)) {
        if (this.#frameTimer !== undefined) this.#stopFrameTimer();
        this.#events.message(message);
      }
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#reader.isPartial)
      this.#frameTimer ??= setTimeout(() => this.fail(new Error(halfFrame)), frameMsMax).unref();
  }

  #stopFrameTimer(): void {
    clearTimeout(this.#frameTimer);
    this.#frameTimer = undefined;
  }

  /** Closes because of what the peer did. */
  fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
    if (this.isOpen) this.send({ type: 'bye', reason: error.message });
    this.close();
  }
}
