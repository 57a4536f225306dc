// One client of the daemon: its requests, its chunks of Lua, their output.
//
// What one client does, or fails to do, costs no other: it has its own session, its requests wait for each other and not
// for anyone else's, and one that does not read its output has its chunks suspended, then its output cut.
import type { Socket } from 'node:net';
import { setImmediate as immediate } from 'node:timers/promises';
import { internalErrorText } from '../../lua/functions.ts';
import type { Interpreter } from '../../lua/interpreter.ts';
import type { Output, ResultFormat } from '../../lua/scheduler.ts';
import { version } from '../../package_info.ts';
import { Connection } from '../protocol/connection.ts';
import { ProtocolError } from '../protocol/message_pack.ts';
import {
  type CompleteRequest,
  type DaemonMessage,
  type EvaluateRequest,
  type Hello,
  type LogEntry,
  protocolVersion,
  type Request,
  type Snapshot,
  type SubscribeRequest,
} from '../protocol/messages.ts';
import { checkHello, checkRequest } from '../protocol/shapes.ts';
import { LocalSession } from '../session/local_session.ts';
import type { Completion, Evaluation } from '../session/session.ts';
import { JsonClient } from './json_client.ts';
import type { Log } from './log.ts';

/** How long a client may take to say hello. */
const helloMsMax = 5000;

/** Evaluations of one client that may wait for each other. */
const evaluationsMax = 64;

/**
 * Output that a client has not read: above the first its chunks are suspended, above the second output is lost. Chunks
 * are suspended between instructions: what one print() has is not to be lost, and a string of Lua has 64 MiB at most.
 */
const unreadBytesHigh = 256 * 1024;
const unreadBytesMax = 65 * 1024 * 1024;

/** Output goes in pieces: one print() may be as long as it likes, a message may not. */
const outputPieceBytes = 64 * 1024;

/** What clients ask the daemon for. */
export interface DaemonServices {
  readonly interpreter: Interpreter;
  readonly log: Log;
  snapshot(): Snapshot;
  /** Begins the end of the daemon. `by` says who wanted it. */
  shutdown(by: string): void;
}

export class ClientConnection {
  readonly #services: DaemonServices;
  readonly #connection: Connection;
  readonly #session: LocalSession;
  readonly #helloTimer: NodeJS.Timeout;
  /** "bricks-shell (1234)"; empty until the client has said hello. */
  #name = '';
  #isClosed = false;
  /** Where the client speaks lines of JSON: it does all the rest. */
  #jsonClient: JsonClient | undefined;
  /** Settles when the evaluations asked for so far are done. */
  #evaluations: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Counts interruptions: what was asked for before one does not begin after it. */
  #round = 0;
  /** The completion that is to be answered. */
  #completion: CompleteRequest | undefined;
  #lostBytes = 0;
  #statsTimer: NodeJS.Timeout | undefined;
  readonly #sendLog = (entry: LogEntry): void => this.#sendUnlessBehind({ type: 'log', ...entry });

  constructor(socket: Socket, services: DaemonServices, closed: () => void) {
    this.#services = services;
    this.#connection = new Connection(socket, 'daemon', {
      message: (value) => this.#receive(value),
      closed: (error) => {
        this.#end(error);
        closed();
      },
      lines: (_, bytes) => this.#speakLines(socket, bytes),
    });
    this.#session = new LocalSession(services.interpreter, this.#output());
    const seconds = helloMsMax / 1000;
    this.#helloTimer = setTimeout(
      () => this.#connection.fail(new Error(`no "hello" within ${seconds} s`)),
      helloMsMax,
    ).unref();
  }

  get isGreeted(): boolean {
    return this.#name !== '';
  }

  close(reason: string): void {
    if (this.#jsonClient !== undefined) {
      this.#jsonClient.close(reason);
      return;
    }
    this.#send({ type: 'bye', reason });
    this.#connection.close();
  }

  #speakLines(socket: Socket, bytes: Buffer): void {
    clearTimeout(this.#helloTimer);
    this.#name = 'a client of JSON lines';
    this.#services.log.write('debug', `${this.#name} has come`);
    this.#jsonClient = new JsonClient(socket, this.#services.log);
    this.#jsonClient.receive(bytes);
  }

  /** The connection is gone: nobody waits for what its chunks still do. */
  #end(error: Error | undefined): void {
    this.#isClosed = true;
    clearTimeout(this.#helloTimer);
    clearInterval(this.#statsTimer);
    this.#services.log.subscribe(this.#sendLog, 'none');
    this.#session.interrupt();
    const reason = error === undefined ? '' : `: ${error.message}`;
    const name = this.#name || 'a client that had not said hello';
    this.#services.log.write(error === undefined ? 'debug' : 'info', `${name} has gone${reason}`);
  }

  /** A message that is too long costs this client its connection, and nobody else anything. */
  #send(message: DaemonMessage): void {
    try {
      this.#connection.send(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#connection.fail(error);
    }
  }

  /** For what the next one makes up for: a client that does not read gets none. */
  #sendUnlessBehind(message: DaemonMessage): void {
    if (this.#connection.unsentBytes < unreadBytesHigh) this.#send(message);
  }

  #output(): Output {
    const write = (stream: 'out' | 'err', bytes: Uint8Array): void => {
      for (let from = 0; from < bytes.length; from += outputPieceBytes) {
        const piece = bytes.subarray(from, from + outputPieceBytes);
        if (this.#connection.unsentBytes + piece.length > unreadBytesMax) this.#lostBytes += piece.length;
        else this.#send({ type: 'output', stream, bytes: piece });
      }
    };
    return {
      out: (bytes) => write('out', bytes),
      err: (bytes) => write('err', bytes),
      room: () => (this.#connection.unsentBytes > unreadBytesHigh ? this.#connection.drained() : undefined),
    };
  }

  #receive(value: unknown): void {
    if (this.#isClosed) return;
    if (this.isGreeted) this.#handle(checkRequest(value));
    else this.#greet(checkHello(value));
  }

  #greet({ protocol, program, pid, version: theirs }: Hello): void {
    if (protocol !== protocolVersion) {
      throw new ProtocolError(
        `the daemon is of version ${version} and speaks protocol ${protocolVersion}, ` +
          `${program} is of version ${theirs} and speaks ${protocol}; use those of one version`,
      );
    }
    clearTimeout(this.#helloTimer);
    this.#name = `${program} (${pid})`;
    this.#services.log.write('debug', `${this.#name} has come`);
    this.#send({ type: 'hello', protocol: protocolVersion, program: 'bricks-server', version, pid: process.pid });
  }

  #handle(request: Request): void {
    const { id } = request;
    if (request.type !== 'interrupt' && this.#connection.unsentBytes > unreadBytesMax) {
      throw new ProtocolError(`more than ${unreadBytesMax} bytes are unread, and more is asked for`);
    }
    switch (request.type) {
      case 'evaluate':
        this.#queue(request);
        break;
      case 'complete':
        this.#complete(request);
        break;
      case 'interrupt':
        this.#interrupt();
        this.#send({ type: 'reply', id, to: 'interrupt' });
        break;
      case 'stats':
        this.#send({ type: 'reply', id, to: 'stats', snapshot: this.#services.snapshot() });
        break;
      case 'subscribe':
        this.#subscribe(request);
        this.#send({ type: 'reply', id, to: 'subscribe' });
        break;
      case 'shutdown':
        this.#send({ type: 'reply', id, to: 'shutdown' });
        this.#services.shutdown(this.#name);
    }
  }

  /** One evaluation after the other, as at a prompt. */
  #queue(request: EvaluateRequest): void {
    if (this.#waiting >= evaluationsMax) {
      throw new ProtocolError(`more than ${evaluationsMax} evaluations at once; wait for their replies`);
    }
    this.#waiting++;
    const round = this.#round;
    this.#evaluations = this.#evaluations.then(async () => {
      // Others have their turn between the evaluations of one client.
      if (this.#waiting > 1) await immediate();
      if (!this.#isClosed) await this.#evaluate(request, round);
      this.#waiting--;
    });
  }

  /** Ends what runs, and what was asked for before and has not begun. */
  #interrupt(): void {
    this.#round++;
    this.#session.interrupt();
  }

  /** The newest one only: whoever types on does not want the one before any more. */
  #complete(request: CompleteRequest): void {
    const isWaiting = this.#completion !== undefined;
    if (this.#completion !== undefined) this.#replyCompletion(this.#completion, { matches: [], word: '' });
    this.#completion = request;
    if (!isWaiting) void immediate().then(() => this.#answerCompletion());
  }

  async #answerCompletion(): Promise<void> {
    const request = this.#completion;
    if (request === undefined || this.#isClosed) return;
    const completion = await this.#session.complete(request.line).catch((error: unknown) => {
      this.#services.log.write('error', `${this.#name}: ${internalErrorText(error)}`);
      return { matches: [], word: '' };
    });
    this.#completion = undefined;
    this.#replyCompletion(request, completion);
  }

  #replyCompletion({ id }: CompleteRequest, completion: Completion): void {
    this.#send({ type: 'reply', id, to: 'complete', ...completion });
  }

  async #evaluate({ id, mode, code, name, format }: EvaluateRequest, round: number): Promise<void> {
    const isInterrupted = round !== this.#round;
    const evaluation: Evaluation = isInterrupted
      ? { kind: 'interrupted' }
      : await this.#outcome(mode, code, name, format);
    this.#reportLost();
    this.#send({ type: 'reply', id, to: 'evaluate', evaluation });
    if (evaluation.kind === 'shutdown') this.#services.shutdown(this.#name);
  }

  /** A fault of ours is the end of this evaluation, not of the daemon with its engines. */
  async #outcome(mode: string, code: Uint8Array, name: string, format: ResultFormat): Promise<Evaluation> {
    try {
      if (mode === 'line') return await this.#session.evaluate(code, format);
      return await this.#session.run(code, name, format);
    } catch (error) {
      const message = internalErrorText(error);
      this.#services.log.write('error', `${this.#name}: ${message}`);
      return { kind: 'error', message, traceback: '' };
    }
  }

  #reportLost(): void {
    if (this.#lostBytes === 0) return;
    const text = `... ${this.#lostBytes} bytes of output were lost: the client read too slowly\n`;
    this.#lostBytes = 0;
    this.#send({ type: 'output', stream: 'err', bytes: Buffer.from(text) });
  }

  #subscribe({ statsMs, logs }: SubscribeRequest): void {
    if (logs !== undefined && logs !== null) this.#services.log.subscribe(this.#sendLog, logs);
    if (statsMs === undefined || statsMs === null) return;
    clearInterval(this.#statsTimer);
    if (statsMs === 0) return;
    const send = (): void => this.#sendUnlessBehind({ type: 'snapshot', snapshot: this.#services.snapshot() });
    send();
    this.#statsTimer = setInterval(send, statsMs);
  }
}
