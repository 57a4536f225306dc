// Text that comes in pieces, as lines: for what scripts and programs print, without trust that a line ever ends.
//
// Used by companion.ts and the daemon's log.
import { StringDecoder } from 'node:string_decoder';

/** A line without an end is cut here. */
const lineCharactersMax = 8192;

/** Hands out each line as it is complete. */
export class LineWriter {
  readonly #write: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #line = '';

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  add(bytes: Uint8Array): void {
    const lines = (this.#line + this.#decoder.write(Buffer.from(bytes))).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) this.#write(line);
    if (this.#line.length > lineCharactersMax) this.flush();
  }

  flush(): void {
    if (this.#line !== '') this.#write(this.#line);
    this.#line = '';
  }
}
