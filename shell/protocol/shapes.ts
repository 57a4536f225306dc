// Checks that what a client sent is one of the protocol's messages. Called by the daemon for each message.

import { ProtocolError } from './message_pack.ts';
import { type ClientMessage, type Hello, logLevels, type Request, statsMsMax, statsMsMin } from './messages.ts';

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value.length <= 4096;
const isBytes: Check = (value) => value instanceof Uint8Array;
const isCount: Check = (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0;
const isOneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && values.includes(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);

/** The fields of each type of message, `type` aside. */
const fields: Readonly<Record<ClientMessage['type'], Readonly<Record<string, Check>>>> = {
  hello: { protocol: isCount, program: isText, version: isText, pid: isCount },
  evaluate: {
    id: isCount,
    mode: isOneOf('line', 'chunk'),
    code: isBytes,
    name: isText,
    format: isOneOf('text', 'json'),
  },
  complete: { id: isCount, line: isText },
  interrupt: { id: isCount },
  stats: { id: isCount },
  subscribe: {
    id: isCount,
    statsMs: optional(
      (value) => value === 0 || (isCount(value) && Number(value) >= statsMsMin && Number(value) <= statsMsMax),
    ),
    logs: optional(isOneOf('none', ...logLevels)),
  },
  shutdown: { id: isCount },
};

const shapes = new Map(Object.entries(fields).map(([type, checks]) => [type, Object.entries(checks)]));

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function checkShape(value: unknown): ClientMessage {
  const type = isObject(value) && typeof value.type === 'string' ? value.type : undefined;
  if (!isObject(value) || type === undefined) throw new ProtocolError('a message has no type');
  const shape = shapes.get(type);
  if (shape === undefined) throw new ProtocolError(`a message has the unknown type "${type.slice(0, 40)}"`);
  for (const [field, check] of shape) {
    if (!check(value[field])) throw new ProtocolError(`a message "${type}" has a wrong field "${field}"`);
  }
  // Each field was checked above.
  return value as unknown as ClientMessage;
}

/** The first message of a client. Throws {@link ProtocolError}. */
export function checkHello(value: unknown): Hello {
  const message = checkShape(value);
  if (message.type !== 'hello') throw new ProtocolError(`the first message is "${message.type}", it must be "hello"`);
  return message;
}

/** A request. Throws {@link ProtocolError}. */
export function checkRequest(value: unknown): Request {
  const message = checkShape(value);
  if (message.type === 'hello') throw new ProtocolError('a second "hello"');
  return message;
}
