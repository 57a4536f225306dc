// Lines of JSON on the control socket: one request a line, one answer a line. What is said is in shell/daemon/JSON.md.
//
// A peer that opens with "{" speaks it: frames (frame.ts) begin with the first byte of a length, which is 0.
import { clientMessageBytesMax } from './frame.ts';

/** The first byte of a peer that speaks lines. */
export const lineOpening = 0x7b;

/** The longest line of a client. */
export const lineBytesMax = clientMessageBytesMax;

const lineBreak = 0x0a;

/** Takes a stream of bytes apart into lines. */
export class LineReader {
  readonly #bytesMax: number;
  #chunks: Buffer[] = [];
  #buffered = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that `bytes` complete, without their breaks; undefined stands for one that is too long. */
  *read(bytes: Buffer): Generator<string | undefined> {
    let from = 0;
    for (let end = bytes.indexOf(lineBreak); end >= 0; end = bytes.indexOf(lineBreak, from)) {
      this.#keep(bytes.subarray(from, end));
      from = end + 1;
      yield this.#take();
    }
    this.#keep(bytes.subarray(from));
  }

  /** Of a line that is too long no more than its length is kept. */
  #keep(bytes: Buffer): void {
    this.#buffered += bytes.length;
    if (this.#buffered > this.#bytesMax) this.#chunks = [];
    else if (bytes.length > 0) this.#chunks.push(bytes);
  }

  #take(): string | undefined {
    const line = this.#buffered > this.#bytesMax ? undefined : Buffer.concat(this.#chunks).toString('utf8');
    this.#chunks = [];
    this.#buffered = 0;
    return line;
  }
}
