// The daemon's log: JSON lines by pino, to a file or standard error, and to clients that have subscribed.
//
// Written synchronously: nothing is lost when the process ends. A log that cannot be written any more costs the log,
// not the daemon.
import pino from 'pino';
import { BricksError, errorText } from '../../engine/errors.ts';
import { type LogEntry, type LogLevel, logLevels } from '../protocol/messages.ts';

/** Where the log goes: a path, or standard error. */
export type LogDestination = { readonly file: string } | 'stderr';

/** Scripts print to the log what may not be for everyone. */
export const logFileMode = 0o640;

type Destination = ReturnType<typeof pino.destination>;

/** Why a log cannot be written, for users. */
export function unwritable(file: string, error: unknown): BricksError {
  return BricksError.of('LOG_UNWRITABLE', { file, problem: errorText(error) });
}

function open(to: LogDestination): Destination {
  try {
    return pino.destination({ dest: to === 'stderr' ? 2 : to.file, sync: true, mode: logFileMode });
  } catch (error) {
    throw unwritable(to === 'stderr' ? 'standard error' : to.file, error);
  }
}

/** True where messages of `level` pass a threshold. */
function passes(level: LogLevel, threshold: LogLevel): boolean {
  return logLevels.indexOf(level) >= logLevels.indexOf(threshold);
}

/** Of one entry: what followers are sent at once, and a line that tools still read. */
const textCharactersMax = 256 * 1024;

export class Log {
  readonly #to: LogDestination;
  #destination: Destination;
  readonly #pino: pino.Logger;
  readonly #subscribers = new Map<(entry: LogEntry) => void, LogLevel>();

  /** Throws LOG_UNWRITABLE. */
  constructor(to: LogDestination, level: LogLevel) {
    this.#to = to;
    this.#destination = this.#open();
    const settings: pino.LoggerOptions = {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      // "info" rather than 30: people read it as well.
      formatters: { level: (label) => ({ level: label }) },
    };
    this.#pino = pino(settings, { write: (line: string) => this.#destination.write(line) });
  }

  get level(): LogLevel {
    return this.#pino.level as LogLevel;
  }

  set level(level: LogLevel) {
    this.#pino.level = level;
  }

  write(level: LogLevel, text: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const kept = text.length <= textCharactersMax ? text : `${text.slice(0, textCharactersMax)}... (cut)`;
    this.#pino[level](fields, kept);
    for (const [listener, threshold] of this.#subscribers) {
      if (passes(level, threshold)) listener({ level, timeMs: Date.now(), text: kept });
    }
  }

  /** Calls `listener` for what is logged from `level` on, whatever the log's own level; "none" ends that. */
  subscribe(listener: (entry: LogEntry) => void, level: LogLevel | 'none'): void {
    if (level === 'none') this.#subscribers.delete(listener);
    else this.#subscribers.set(listener, level);
  }

  /** Opens the file anew: the old one was moved away. What keeps it from that is logged where the log is. */
  reopen(): void {
    if (this.#to === 'stderr') return;
    const previous = this.#destination;
    try {
      this.#destination = this.#open();
      previous.end();
      this.write('info', 'the log is opened anew');
    } catch (error) {
      this.write('error', errorText(error));
    }
  }

  #open(): Destination {
    // A disk that is full costs the log, not the daemon.
    return open(this.#to).on('error', () => {});
  }
}
