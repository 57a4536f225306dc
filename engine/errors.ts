// Every error the control plane raises: one table of texts, one class.
//
// A text names the thing and ends with the remedy. Placeholders in braces are filled from `details`.
import { constants } from 'node:os';
import { getSystemErrorMap, getSystemErrorName } from 'node:util';

const table = {
  ARGUMENT_INVALID: '{what}: {problem}; {hint}',
  LIMIT_EXCEEDED: '{what}: {value} is out of range; it must be {min} to {max}',
  ENGINE_EXISTS: 'engine "{engine}": exists already; delete it first or choose another name',
  ENGINE_UNKNOWN: 'engine "{engine}": no such engine; have: {have}',
  ENGINE_RUNNING: 'engine "{engine}": cannot {action} while it runs; stop it first',
  ENGINE_STARTED: 'engine "{engine}": runs already; stop it first to start it anew',
  ENGINE_NOT_RUNNING: 'engine "{engine}": does not run; start it first',
  ENGINE_NOT_LINKED: 'engine "{engine}": nothing is linked; link a brick first',
  ENGINE_DELETED: 'engine "{engine}": was deleted; make a new one',
  BRICK_UNKNOWN: 'brick "{brick}": no such brick; have: {have}',
  BRICK_IN_USE: 'brick "{brick}": is linked to engine "{engine}" already; make another one',
  BRICK_PORTS: 'brick "{brick}": has {count} {side}, needs {min} to {max}; use {method}',
  OPTION_UNKNOWN: '{what}: no option "{option}"; have: {have}',
  OPTION_INVALID: '{what}: option "{option}" is {value}; it must be {allowed}',
  PORT_NAME_INVALID: 'port "{port}": {problem}; a name is [driver:]name[{n | }n][?key=value&key=value]',
  DRIVER_UNKNOWN: 'port "{port}": no driver "{driver}"; have: {have}',
  DRIVER_DIRECTION: 'port "{port}": driver "{driver}" cannot be an {side}; {hint}',
  PIPE_END: 'port "{port}": {problem}; write "{other}"',
  PIPE_INPUT:
    'port "{port}": no brick linked to this engine has the output "{other}"; connect that output and link the bricks',
  PIPE_AWAITED: 'pipe "{pipe}": its next batch is awaited already; read a pipe from one loop',
  PIPE_BEGUN: 'pipe "{pipe}": packets were written already; say the link type before the first of them',
  PIPE_CLOSED: 'pipe "{pipe}": was closed; open it anew',
  PIPE_ENDED: 'pipe "{pipe}": the engine that takes its packets has gone; start it, then open the pipe anew',
  PACKET_TOO_LONG:
    'pipe "{pipe}": a packet of {bytes} bytes; it takes {max} at most, and no more than its ring: give that more slots',
  PIPE_BROKEN: 'pipe "{pipe}": its ring holds what no engine writes; end the process that serves it, and start it anew',
  PACKET_GONE:
    'packet {packet}: the batch holds {count}; use packets before the next batch is asked for, or copy() them',
  OUTPUT_TWICE: 'port "{port}": is an output of brick "{brick}" already; an output serves one brick once',
  INPUT_TWICE: 'port "{port}": is an input of this engine already; use a Duplicator to send it to several bricks',
  INPUT_SHARED:
    'port "{port}": is an input of engine "{engine}" already; give each a queue id of its own: pe:link(brick, batch, queue_id)',
  PIPE_SHARED:
    'port "{port}": is an {side} of engine "{engine}" already; link its bricks to that engine, or choose another name',
  OUTPUT_SHARED: 'port "{port}": is an output of engine "{engine}" already; choose another name',
  GRAPH_CYCLE: 'brick "{brick}": its output leads back to its input ({path}); remove one of these connections',
  CONTROL_SOCKET: 'control socket {path}: {problem}; set BRICKS_RUNTIME_DIR to a directory of your own',
  DAEMON_MISSING: 'no daemon answers at {path}; start one with bricks-server -f script.lua',
  DAEMON_NOT_THERE: 'no daemon answers at {path}: there is none to end; BRICKS_RUNTIME_DIR says where to look',
  DAEMON_DENIED: 'user {user} may not use {path}{owner}; become that user, or start the daemon with --group',
  DAEMON_UNREACHABLE: 'the daemon at {path} cannot be talked to: {problem}; its log may say more',
  DAEMON_GONE: 'the daemon has gone: {reason}; its log may say why',
  DAEMON_STAYS:
    'the daemon, process {pid}, has not ended within {seconds} s; its log may say why, kill -9 {pid} ends it',
  CHUNK_TOO_LONG: 'the chunk has {bytes} bytes, a request may have {max}; put it into a file and run dofile("FILE")',
  GROUP_UNKNOWN: 'group "{group}": no such group; getent group lists those there are',
  LOG_UNWRITABLE: 'cannot write the log {file}: {problem}; choose another with --log',
  SCRIPT_USELESS: 'script {file}: {problem}; {hint}',
  SCRIPT_UNREADABLE: 'cannot read the script {file}: {problem}; give the path of a file that you may read',
  EXTCAP_FOLDER: 'extcap folder {folder}: {problem}; {hint}',
  EXTCAP_FOREIGN: '{file} was not installed by bricks-extcap; move it away, or choose another folder with --folder',
  RUNTIME_DIRECTORY: 'runtime directory: {problem}; set BRICKS_RUNTIME_DIR to a short path that you may write to',
  NATIVE_MISSING: '{problem}',
  NATIVE_MISMATCH: 'the native library {file} is of another version; run npm run build',
} as const;

/** The `code` of a {@link BricksError} that the control plane raises itself. */
export type ErrorCode = keyof typeof table;

/** Values for the placeholders of an error's text. */
export type ErrorDetails = Readonly<Record<string, string | number>>;

/** Every code with its text, for documentation and tests. */
export const errorTexts: Readonly<Record<ErrorCode, string>> = table;

function fill(text: string, details: ErrorDetails): string {
  return text.replace(/\{([a-z]+)\}/g, (whole, key: string) => (key in details ? String(details[key]) : whole));
}

/** "ENODEV" for -19. Node's list lacks some that its operating system's has. */
function errnoName(status: number): string {
  const [name] = getSystemErrorMap().get(status) ?? [];
  const [other] = Object.entries(constants.errno).find(([, errno]) => errno === -status) ?? [];
  return name ?? other ?? getSystemErrorName(status);
}

/**
 * The one error class of packet-bricks.
 *
 * `code` is an {@link ErrorCode}, or for a failure that the data plane reports, the name of its errno ("ENODEV").
 * The message is one line that names the thing and the remedy.
 */
export class BricksError extends Error {
  override readonly name = 'BricksError';

  constructor(
    readonly code: string,
    message: string,
    /** What the message is about: `port`, `brick`, `engine`, ... */
    readonly details: ErrorDetails = {},
  ) {
    super(message);
  }

  /** An error of the table. */
  static of(code: ErrorCode, details: ErrorDetails = {}): BricksError {
    return new BricksError(code, fill(table[code], details), details);
  }

  /** An error of the data plane: a negative errno and its text. */
  static native(status: number, text: string): BricksError {
    return new BricksError(errnoName(status), text);
  }
}

/** What was thrown, as text: JavaScript throws anything. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const shownCharactersMax = 120;

/** A value that a user gave, as a message shows it: JSON where it is, not too long. Empty: there is none. */
export function shownValue(value: unknown): string {
  if (value === undefined) return '';
  let text: string;
  try {
    text = JSON.stringify(value) ?? typeof value;
  } catch {
    // A bigint, which JSON has not; an object that has itself in it, or is too deep.
    text = typeof value === 'object' ? 'an object that is no JSON, or too deep' : String(value);
  }
  return text.length <= shownCharactersMax ? text : `${text.slice(0, shownCharactersMax)}...`;
}
