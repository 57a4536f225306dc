// What the start-up script prints, as lines of the daemon's log.
import { LineWriter } from '../../engine/line_writer.ts';
import type { Output } from '../../lua/scheduler.ts';
import type { LogLevel } from '../protocol/messages.ts';
import type { OutputStream } from './detach.ts';
import type { Log } from './log.ts';

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
