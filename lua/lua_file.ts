// A Lua file handle: reads by Lua's formats from whatever source there is.
import type { CloseResult, FileSource } from './file_source.ts';

/** "l" a line, "L" a line with its end, "a" all, "n" a number, or a count of bytes. */
export type ReadFormat = 'l' | 'L' | 'a' | 'n' | number;

/** null: the end of the file, or no number where one was asked for; 'more': fill() first. */
type ReadResult = Buffer | number | null | 'more';

/** A numeral at the beginning, and what may still become one. */
const numeral = /^\s*([+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))/;
const numeralBytesMax = 200;

/** Files that a script opened and dropped: their descriptors are given back. */
const dropped = new FinalizationRegistry<FileSource>((source) => {
  void source.close();
});

export class LuaFile {
  readonly source: FileSource;
  #buffer = Buffer.alloc(0);
  #isEnded = false;
  isClosed = false;

  constructor(source: FileSource) {
    this.source = source;
  }

  /** Has the file closed when nobody can reach it any more. */
  closeWhenDropped(): this {
    dropped.register(this, this.source, this);
    return this;
  }

  close(): CloseResult | Promise<CloseResult> {
    const result = this.source.close();
    dropped.unregister(this);
    return result;
  }

  /** Fetches more bytes: a promise where the source has none yet. */
  fill(): void | Promise<void> {
    const bytes = this.source.read?.();
    if (bytes instanceof Promise) {
      return bytes.then((arrived) => {
        this.#append(arrived);
      });
    }
    this.#append(bytes);
  }

  #append(bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.#isEnded = true;
    else this.#buffer = this.#buffer.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#buffer, bytes]);
  }

  #take(count: number): Buffer {
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  /** What the format asks for, as far as the bytes are there. */
  tryRead(format: ReadFormat): ReadResult {
    if (typeof format === 'number') {
      if (this.#buffer.length < Math.max(format, 1) && !this.#isEnded) return 'more';
      return this.#buffer.length === 0 ? null : this.#take(format);
    }
    switch (format) {
      case 'a':
        return this.#isEnded ? this.#take(this.#buffer.length) : 'more';
      case 'n':
        return this.#readNumber();
      default: {
        const end = this.#buffer.indexOf('\n');
        if (end < 0 && !this.#isEnded) return 'more';
        if (end < 0) return this.#buffer.length === 0 ? null : this.#take(this.#buffer.length);
        const line = this.#take(end + 1);
        return format === 'L' ? line : line.subarray(0, end);
      }
    }
  }

  #readNumber(): ReadResult {
    const [whole, digits] = numeral.exec(this.#buffer.toString('latin1')) ?? [];
    const mayGrow = whole === undefined || whole.length === this.#buffer.length;
    if (mayGrow && !this.#isEnded && this.#buffer.length < numeralBytesMax) return 'more';
    if (whole === undefined) return null;
    this.#take(whole.length);
    return Number(digits);
  }

  /** Bytes fetched and not read yet: the source is that far ahead. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Forgets what was fetched: the place has changed. */
  discard(): void {
    this.#buffer = Buffer.alloc(0);
    this.#isEnded = false;
  }
}
