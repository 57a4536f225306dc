// Where the daemon's files are: the runtime directory, and what is in it.
//
// The directory follows the same rule as the pipes' (native/pipe/directory.c); a test holds the two together. Clients
// use this without loading the data plane.
import { join } from 'node:path';
import { BricksError, errorText } from '../../engine/errors.ts';
import { makeFolder } from '../make_folder.ts';

/** Bytes of a Unix socket's path, without the end mark. See unix(7). */
const socketPathBytesMax = 107;

/** The runtime directory, whether it exists or not. Throws RUNTIME_DIRECTORY where the environment names none. */
export function runtimeDirectory(): string {
  const { BRICKS_RUNTIME_DIR: own, XDG_RUNTIME_DIR: user } = process.env;
  if (own) return own;
  if (process.geteuid?.() === 0) return '/run/bricks';
  if (user) return `${user}/bricks`;
  throw BricksError.of('RUNTIME_DIRECTORY', { problem: 'there is none for this user' });
}

/** The daemon's files. */
export interface DaemonFiles {
  readonly directory: string;
  readonly socket: string;
  readonly pid: string;
  readonly status: string;
  readonly log: string;
}

/** Where they are. Throws RUNTIME_DIRECTORY where the socket's path is too long for the system. */
export function daemonFiles(): DaemonFiles {
  const directory = runtimeDirectory();
  const socket = join(directory, 'control.sock');
  const bytes = Buffer.byteLength(socket);
  if (bytes > socketPathBytesMax) {
    const problem = `the path of the control socket would be ${bytes} bytes long, the system's limit is ${socketPathBytesMax}`;
    throw BricksError.of('RUNTIME_DIRECTORY', { problem });
  }
  return {
    directory,
    socket,
    pid: join(directory, 'bricks-server.pid'),
    status: join(directory, 'status.json'),
    log: join(directory, 'bricks-server.log'),
  };
}

/** Makes the runtime directory where it is missing. */
export function makeRuntimeDirectory(directory: string): void {
  try {
    makeFolder(directory, 0o755);
  } catch (error) {
    const reason = errorText(error);
    throw BricksError.of('RUNTIME_DIRECTORY', { problem: `cannot create ${directory}: ${reason}` });
  }
}
