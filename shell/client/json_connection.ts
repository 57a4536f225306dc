// A connection to the daemon in lines of JSON: requests, each with its answer. Called by bricks-filter.
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { BricksError } from '../../engine/errors.ts';
import { daemonFiles } from '../protocol/address.ts';
import { connectError } from './control_client.ts';

/** What the daemon answers to a request. */
export interface JsonAnswer {
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: string;
}

export class JsonConnection {
  readonly #socket: Socket;
  readonly #answers: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /** Connects to the daemon of the runtime directory. Throws DAEMON_MISSING, DAEMON_DENIED, DAEMON_UNREACHABLE. */
  static open(): Promise<JsonConnection> {
    const { socket: path } = daemonFiles();
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', (error) => reject(connectError(path, error)));
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        // Whoever waits for an answer learns of it by the end of the lines.
        socket.on('error', () => {});
        resolve(new JsonConnection(socket));
      });
    });
  }

  /** The answer to a request. Throws DAEMON_GONE where none comes, DAEMON_UNREACHABLE where it is refused. */
  async ask(request: object): Promise<JsonAnswer> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw BricksError.of('DAEMON_GONE', { reason: 'it has not answered' });
    // A daemon that has too many clients says goodbye before it knows what this one speaks.
    if (!value.startsWith('{')) {
      const problem = 'it takes no more clients at the moment';
      throw BricksError.of('DAEMON_UNREACHABLE', { path: daemonFiles().socket, problem });
    }
    return JSON.parse(value) as JsonAnswer;
  }

  close(): void {
    this.#socket.end();
  }
}
