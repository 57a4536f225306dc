// A client that speaks lines of JSON: its requests are carried out one after the other, each answered by one line.
//
// Nothing it sends ends the connection or disturbs another client: what cannot be understood is answered with an error.
// One that does not read its answers is not read from either.
import type { Socket } from 'node:net';
import { BricksError, shownValue } from '../../engine/errors.ts';
import { internalErrorText } from '../../lua/functions.ts';
import { LineReader, lineBytesMax } from '../protocol/lines.ts';
import { filterOperations, type JsonRequest } from './filter_operations.ts';
import type { Log } from './log.ts';

interface Answer {
  readonly id?: unknown;
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: string;
}

function refuse(error: string, id?: unknown): Answer {
  return { ...(id !== undefined && { id }), ok: false, error };
}

function parse(line: string): JsonRequest | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRequest) : undefined;
  } catch {
    return undefined;
  }
}

export class JsonClient {
  readonly #socket: Socket;
  readonly #log: Log;
  readonly #reader = new LineReader(lineBytesMax);
  /** Lines to answer; undefined stands for one that was too long. */
  #lines: (string | undefined)[] = [];

  constructor(socket: Socket, log: Log) {
    this.#socket = socket;
    this.#log = log;
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('drain', () => this.#work());
  }

  receive(bytes: Buffer): void {
    for (const line of this.#reader.read(bytes)) {
      if (line?.trim() !== '') this.#lines.push(line);
    }
    this.#work();
  }

  /** Says why, and closes. */
  close(reason: string): void {
    this.#lines = [];
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(refuse(`connection: closed; ${reason}`))}\n`);
    this.#socket.end();
  }

  /** Answers as long as the client takes the answers. */
  #work(): void {
    const lines = this.#lines;
    let done = 0;
    for (; done < lines.length && this.#socket.writable && !this.#socket.writableNeedDrain; done++) {
      this.#socket.write(`${this.#answerText(lines[done])}\n`);
    }
    this.#lines = lines.slice(done);
    if (this.#lines.length > 0) this.#socket.pause();
    else this.#socket.resume();
  }

  #answerText(line: string | undefined): string {
    try {
      return JSON.stringify(this.#answer(line));
    } catch {
      // What JSON.parse takes may be too deep for JSON.stringify, which recurses: the id is the client's.
      return JSON.stringify(refuse('line: nested too deeply; an id is best a number or a string'));
    }
  }

  #answer(line: string | undefined): Answer {
    if (line === undefined) return refuse(`line: longer than ${lineBytesMax} bytes; send shorter ones`);
    const request = parse(line);
    if (request === undefined) return refuse('line: not an object of JSON; write {"op":"filter.list"}');
    const { id, op } = request;
    const operation = typeof op === 'string' && Object.hasOwn(filterOperations, op) ? filterOperations[op] : undefined;
    if (operation === undefined) {
      const have = Object.keys(filterOperations).join(', ');
      return refuse(`op ${shownValue(op)}: there is no such operation; have: ${have}`.replace(' :', ':'), id);
    }
    try {
      return { ...(id !== undefined && { id }), ok: true, result: operation(request) };
    } catch (error) {
      if (error instanceof BricksError) return refuse(error.message, id);
      const message = internalErrorText(error);
      this.#log.write('error', `a client of JSON lines: ${message}`);
      return refuse(message, id);
    }
  }
}
