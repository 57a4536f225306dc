// A connection to the daemon: requests and their replies, and what the daemon says on its own account.
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { BricksError } from '../../engine/errors.ts';
import type { Outcome, ResultFormat } from '../../lua/scheduler.ts';
import { version } from '../../package_info.ts';
import { daemonFiles } from '../protocol/address.ts';
import { Connection } from '../protocol/connection.ts';
import { clientMessageBytesMax } from '../protocol/frame.ts';
import {
  type DaemonMessage,
  type Hello,
  type LogEntry,
  type LogLevel,
  type Notice,
  protocolVersion,
  type Reply,
  type Request,
  type Snapshot,
} from '../protocol/messages.ts';
import type { Completion, Evaluation } from '../session/session.ts';

/** How long the daemon may take to say hello: as long as what it does in one turn of its loop. */
const helloMsMax = 10_000;

/** Room for what surrounds the code in its message. */
const codeBytesMax = clientMessageBytesMax - 8192;

/** What a client wants to hear of. */
export interface ClientEvents {
  output?(stream: 'out' | 'err', bytes: Uint8Array): void;
  snapshot?(snapshot: Snapshot): void;
  log?(entry: LogEntry): void;
  /** Once: the daemon, or the connection to it, has ended. One line says why. */
  closed?(reason: string): void;
}

function isNotice(message: Notice | Reply | Hello): message is Notice {
  return message.type !== 'reply' && message.type !== 'hello';
}

/** Our user's name, or number: in containers there are users without a name. */
function userText(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.());
  }
}

/** Why a socket could not be connected to, for users. */
export function connectError(path: string, error: Error): BricksError {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return BricksError.of('DAEMON_MISSING', { path });
  if (code === 'EACCES' || code === 'EPERM') {
    const owner = statSync(path, { throwIfNoEntry: false })?.uid;
    const text = owner === undefined ? '' : `: it belongs to user id ${owner}`;
    return BricksError.of('DAEMON_DENIED', { path, user: userText(), owner: text });
  }
  return BricksError.of('DAEMON_UNREACHABLE', { path, problem: error.message });
}

/** Settles the promise of connect(). */
interface Greeting {
  resolve(client: ControlClient): void;
  reject(error: Error): void;
}

export class ControlClient {
  readonly #connection: Connection;
  readonly #events: ClientEvents;
  readonly #waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  readonly #greeting: Greeting;
  #nextId = 1;
  #goodbye: string | undefined;
  /** Of the daemon; 0 until it has said hello. */
  pid = 0;

  private constructor(program: string, path: string, events: ClientEvents, greeting: Greeting) {
    this.#events = events;
    this.#greeting = greeting;
    const socket = connect(path);
    this.#connection = new Connection(socket, 'client', {
      message: (value) => this.#receive(value as DaemonMessage),
      closed: (error) => this.#closed(path, error),
    });
    this.#connection.send({ type: 'hello', protocol: protocolVersion, program, version, pid: process.pid });
    const timer = setTimeout(() => socket.destroy(new Error('it does not answer')), helloMsMax);
    socket.once('data', () => clearTimeout(timer));
    socket.once('close', () => clearTimeout(timer));
  }

  /** Connects to the daemon of the runtime directory. Throws DAEMON_MISSING, DAEMON_DENIED, DAEMON_UNREACHABLE. */
  static connect(program: string, events: ClientEvents = {}): Promise<ControlClient> {
    const { socket } = daemonFiles();
    return new Promise((resolve, reject) => {
      new ControlClient(program, socket, events, { resolve, reject });
    });
  }

  /** Runs Lua as typed at a prompt. Throws CHUNK_TOO_LONG and DAEMON_GONE. */
  async evaluate(code: Uint8Array, format: ResultFormat): Promise<Evaluation> {
    return this.#evaluate('line', code, 'prompt', format);
  }

  /** Runs a whole script. `name` is what messages call it. Throws CHUNK_TOO_LONG and DAEMON_GONE. */
  async run(code: Uint8Array, name: string, format: ResultFormat): Promise<Outcome> {
    const evaluation = await this.#evaluate('chunk', code, name, format);
    if (evaluation.kind === 'incomplete') throw new Error('a script is never incomplete');
    return evaluation;
  }

  async complete(line: string): Promise<Completion> {
    // Nobody completes behind so much, and the daemon takes no more.
    const reply = await this.#request({ type: 'complete', id: this.#nextId++, line: line.slice(-4096) });
    return reply.to === 'complete' ? { matches: reply.matches, word: reply.word } : { matches: [], word: '' };
  }

  async interrupt(): Promise<void> {
    await this.#request({ type: 'interrupt', id: this.#nextId++ });
  }

  async stats(): Promise<Snapshot> {
    const reply = await this.#request({ type: 'stats', id: this.#nextId++ });
    if (reply.to !== 'stats') throw new Error('the reply to another request');
    return reply.snapshot;
  }

  /** Has snapshots sent every so many milliseconds; 0 ends that. */
  async subscribe(statsMs: number): Promise<void> {
    await this.#request({ type: 'subscribe', id: this.#nextId++, statsMs });
  }

  /** Has what is logged from that level on sent. */
  async subscribeLog(logs: LogLevel): Promise<void> {
    await this.#request({ type: 'subscribe', id: this.#nextId++, logs });
  }

  async shutdown(): Promise<void> {
    await this.#request({ type: 'shutdown', id: this.#nextId++ });
  }

  close(): void {
    this.#connection.close();
  }

  async #evaluate(mode: 'line' | 'chunk', code: Uint8Array, name: string, format: ResultFormat): Promise<Evaluation> {
    const bytes = code.length;
    if (bytes > codeBytesMax) throw BricksError.of('CHUNK_TOO_LONG', { bytes, max: codeBytesMax });
    const reply = await this.#request({ type: 'evaluate', id: this.#nextId++, mode, code, name, format });
    if (reply.to !== 'evaluate') throw new Error('the reply to another request');
    return reply.evaluation;
  }

  #request(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (!this.#connection.isOpen) {
        reject(BricksError.of('DAEMON_GONE', { reason: this.#goodbye ?? 'the connection is closed' }));
        return;
      }
      this.#waiting.set(request.id, { resolve, reject });
      this.#connection.send(request);
    });
  }

  #receive(message: DaemonMessage): void {
    if (isNotice(message)) {
      this.#notice(message);
    } else if (message.type === 'hello') {
      this.pid = message.pid;
      this.#greeting.resolve(this);
    } else {
      this.#waiting.get(message.id)?.resolve(message);
      this.#waiting.delete(message.id);
    }
  }

  #notice(notice: Notice): void {
    if (notice.type === 'output') this.#events.output?.(notice.stream, notice.bytes);
    else if (notice.type === 'snapshot') this.#events.snapshot?.(notice.snapshot);
    else if (notice.type === 'log') this.#events.log?.(notice);
    else if (notice.type === 'bye') this.#goodbye = notice.reason;
  }

  #closed(path: string, error: Error | undefined): void {
    const reason = this.#goodbye ?? error?.message ?? 'the connection was closed';
    if (this.pid === 0) {
      const isRefused = this.#goodbye !== undefined || error === undefined;
      this.#greeting.reject(
        isRefused ? BricksError.of('DAEMON_UNREACHABLE', { path, problem: reason }) : connectError(path, error),
      );
      return;
    }
    for (const { reject } of this.#waiting.values()) reject(BricksError.of('DAEMON_GONE', { reason }));
    this.#waiting.clear();
    this.#events.closed?.(reason);
  }
}
