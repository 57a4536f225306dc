// A client of the control socket that shares nothing with the one of the package: it speaks the wire itself, also where
// a client should not. A frame is a length in 32 bits, big-endian, and that many bytes of MessagePack.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Plain, pack, unpack } from './message_pack.ts';
import { waitMs } from './programs.ts';

/** A message, or a part of one. */
export type Fields = { readonly [key: string]: Plain };

/** How a chunk ended, as the daemon says it. */
export interface Evaluated {
  readonly kind: string;
  readonly values?: readonly { readonly text: string }[];
  readonly message?: string;
  readonly status?: number;
}

/** A message as its frame. */
export function frameOf(message: Plain): Buffer {
  const body = pack(message);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

const ownHello: Fields = { type: 'hello', protocol: 1, program: 'test', version: '0', pid: process.pid };

export class WireClient {
  readonly socket: Socket;
  /** Everything that has come, in order. */
  readonly messages: Fields[] = [];
  #rest = Buffer.alloc(0);
  #isClosed = false;
  #nextId = 1;
  #listeners = new Set<() => void>();

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('error', () => undefined);
    this.socket.on('data', (bytes) => this.#receive(bytes));
    this.socket.on('close', () => {
      this.#isClosed = true;
      this.#tell();
    });
  }

  /** A client that has said hello; it goes when the test `t` is over. */
  static async open(t: Pick<TestContext, 'after'>, path: string, hello: Fields = {}): Promise<WireClient> {
    const client = WireClient.silent(t, path);
    client.send({ ...ownHello, ...hello });
    await client.next('hello');
    return client;
  }

  /** A client that says nothing of its own accord. */
  static silent(t: Pick<TestContext, 'after'>, path: string): WireClient {
    const client = new WireClient(path);
    t.after(() => client.socket.destroy());
    return client;
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #receive(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 4) {
      const end = 4 + this.#rest.readUInt32BE();
      if (this.#rest.length < end) break;
      this.messages.push(unpack(this.#rest.subarray(4, end)) as Fields);
      this.#rest = this.#rest.subarray(end);
    }
    this.#tell();
  }

  send(message: Plain): void {
    this.socket.write(frameOf(message));
  }

  sendBytes(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** Waits until `check` finds something; fails after the limit, or when the connection is closed before. */
  until<T>(what: string, check: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (action: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        action();
      };
      const fail = (why: string): void => {
        const last = JSON.stringify(this.messages.slice(-3)).slice(0, 1000);
        finish(() => reject(new assert.AssertionError({ message: `${why} for ${what}; the last messages: ${last}` })));
      };
      const look = (): void => {
        const found = check();
        if (found !== undefined) finish(() => resolve(found));
        else if (this.#isClosed) fail('the connection was closed while waiting');
      };
      const timer = setTimeout(() => fail(`waited ${waitMs / 1000} s`), waitMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** The first message of a type with these fields, waited for. */
  next(type: string, fields: Fields = {}): Promise<Fields> {
    const matches = (message: Fields): boolean =>
      message.type === type && Object.entries(fields).every(([name, value]) => message[name] === value);
    return this.until(`${type} ${JSON.stringify(fields)}`, () => this.messages.find(matches));
  }

  /** Sends a request; its id. */
  ask(type: string, fields: Fields = {}): number {
    const id = this.#nextId++;
    this.send({ type, id, ...fields });
    return id;
  }

  /** Sends a request and waits for its reply. */
  async request(type: string, fields: Fields = {}): Promise<Fields> {
    const reply = await this.next('reply', { id: this.ask(type, fields) });
    assert.equal(reply.to, type, 'the reply says to what');
    return reply;
  }

  /** Has Lua evaluated, as typed at a prompt unless `fields` say otherwise. */
  async evaluate(code: string | Uint8Array, fields: Fields = {}): Promise<Evaluated> {
    const bytes = typeof code === 'string' ? Buffer.from(code) : code;
    const request = { mode: 'line', code: bytes, name: 'test', format: 'text', ...fields };
    return (await this.request('evaluate', request)).evaluation as unknown as Evaluated;
  }

  /** The values of an expression, as text. */
  async value(code: string): Promise<string> {
    const outcome = await this.evaluate(code);
    assert.equal(outcome.kind, 'done', `${code}: ${JSON.stringify(outcome)}`);
    return (outcome.values ?? []).map(({ text }) => text).join(' ');
  }

  /** What chunks of this client have printed so far. */
  output(stream = 'out'): Buffer {
    const pieces = this.messages.filter((message) => message.type === 'output' && message.stream === stream);
    return Buffer.concat(pieces.map(({ bytes }) => bytes as Uint8Array));
  }

  /** Waits until the daemon has closed the connection; the reason that it gave. */
  async dismissed(): Promise<string> {
    await this.until('the end of the connection', () => (this.#isClosed ? true : undefined));
    const [bye] = this.messages.filter(({ type }) => type === 'bye');
    assert.ok(bye !== undefined && typeof bye.reason === 'string', 'the daemon says why it closes a connection');
    return bye.reason;
  }

  /** Goes without a word. */
  async leave(): Promise<void> {
    this.socket.destroy();
    await this.until('the end of the connection', () => (this.#isClosed ? true : undefined));
  }
}
