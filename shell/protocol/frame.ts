// Frames on the control socket: the length of a message in 32 bits, big-endian, then the message in MessagePack.
// Called by connection.ts.
import { decode, encodeBehind, ProtocolError } from './message_pack.ts';

/** The longest message of a client, and of the daemon: a snapshot of a thousand pipes has a megabyte. */
export const clientMessageBytesMax = 1 << 20;
export const daemonMessageBytesMax = 1 << 24;

const lengthBytes = 4;

/** A message as its frame. Throws {@link ProtocolError} for one that is too long. */
export function encodeFrame(message: unknown, bytesMax: number): Buffer {
  const frame = encodeBehind(lengthBytes, message);
  const bytes = frame.length - lengthBytes;
  if (bytes > bytesMax) {
    throw new ProtocolError(`a message of ${bytes} bytes is too long: at most ${bytesMax} are allowed`);
  }
  frame.writeUInt32BE(bytes);
  return frame;
}

/** Takes a stream of bytes apart into messages. */
export class FrameReader {
  readonly #bytesMax: number;
  /** What has come in of frames that are not whole yet. */
  #chunks: Buffer[] = [];
  #buffered = 0;
  /** Bytes of the frame that has begun: its length's own until that is known. */
  #wanted = lengthBytes;

  /** @param bytesMax of the longest message that the peer may send */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True while a frame has begun and is not whole. */
  get isPartial(): boolean {
    return this.#buffered > 0;
  }

  /** The messages that `bytes` complete. Throws {@link ProtocolError}: nothing behind that can be read. */
  *read(bytes: Buffer): Generator<unknown> {
    this.#chunks.push(bytes);
    this.#buffered += bytes.length;
    while (this.#buffered >= this.#wanted) {
      // One copy for each frame, however many pieces it came in.
      const all = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
      if (this.#wanted === lengthBytes) {
        const length = all.readUInt32BE();
        if (length === 0 || length > this.#bytesMax) {
          throw new ProtocolError(`a frame of ${length} bytes: it must be 1 to ${this.#bytesMax}`);
        }
        this.#wanted = lengthBytes + length;
        this.#chunks = [all];
        continue;
      }
      const message = all.subarray(lengthBytes, this.#wanted);
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#buffered = rest.length;
      this.#wanted = lengthBytes;
      yield decode(message);
    }
  }
}
