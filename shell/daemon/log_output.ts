// What the start-up script prints, as lines of the daemon's log.
import { StringDecoder } from 'node:string_decoder';
import type { Output } from '../../lua/scheduler.ts';
import type { LogLevel } from '../protocol/messages.ts';
import type { OutputStream } from './detach.ts';
import type { Log } from './log.ts';

/** A line without an end is cut here. */
const lineCharactersMax = 8192;

class LineWriter {
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

export class LogOutput implements Output {
  readonly #streams: readonly [out: LineWriter, err: LineWriter];

  /** @param echo gets each line as well */
  constructor(log: Log, echo: (stream: OutputStream, line: string) => void) {
    const to = (stream: OutputStream, level: LogLevel) =>
      new LineWriter((line) => {
        log.write(level, line);
        echo(stream, line);
      });
    this.#streams = [to('out', 'info'), to('err', 'warn')];
  }

  out(bytes: Uint8Array): void {
    this.#streams[0].add(bytes);
  }

  err(bytes: Uint8Array): void {
    this.#streams[1].add(bytes);
  }

  /** Logs what has no line's end yet. */
  flush(): void {
    for (const stream of this.#streams) stream.flush();
  }
}
