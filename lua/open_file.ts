// Opens files so that the process never waits for another: one end of a FIFO waits until the other is opened, for ever
// perhaps, and with it would everything in this process.
import { closeSync, fstatSync, constants as modes, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { LuaCallError } from './call_error.ts';

const { O_APPEND, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = modes;

/** What open() gets, by Lua's modes. */
const openFlags: ReadonlyMap<string, number> = new Map([
  ['r', O_RDONLY],
  ['w', O_WRONLY | O_CREAT | O_TRUNC],
  ['a', O_WRONLY | O_CREAT | O_APPEND],
  ['r+', O_RDWR],
  ['w+', O_RDWR | O_CREAT | O_TRUNC],
  ['a+', O_RDWR | O_CREAT | O_APPEND],
]);

/** Why a file is not opened in that mode; undefined where it may be. */
function problemOf(stats: Stats, path: string, mode: string): string | undefined {
  if (stats.isDirectory()) return `it is a directory; list it with io.popen("ls ${path}")`;
  if (stats.isSocket()) return 'it is a socket, not a file';
  if (!stats.isFIFO()) return undefined;
  const remedy = mode === 'r' ? `io.popen("cat ${path}")` : `io.popen("cat > ${path}", "w")`;
  return `it is a FIFO, and would block everything until its other end is there; use ${remedy}`;
}

/** Opens a file; throws what openSync() throws, an error for another mode, and for what is no file. */
export function openWithoutWaiting(path: string, mode: string): number {
  const flags = openFlags.get(mode);
  if (flags === undefined) throw new LuaCallError(`invalid mode "${mode}"; it must be r, w, a, r+, w+ or a+`);
  const check = (stats: Stats | undefined): void => {
    const problem = stats === undefined ? undefined : problemOf(stats, path, mode);
    if (problem !== undefined) throw new LuaCallError(problem);
  };
  const before = statSync(path, { throwIfNoEntry: false });
  check(before);
  // A terminal is read as ever: it waits for a line.
  const fd = openSync(path, before?.isCharacterDevice() ? flags : flags | O_NONBLOCK);
  try {
    // It may be another by now.
    check(fstatSync(fd));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** All of a file that is read at once: a regular one, of a size that does not take long, or /dev/null. */
export function readWhole(path: string, bytesMax: number): Uint8Array {
  const fd = openSync(path, O_RDONLY | O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() && path !== '/dev/null') throw new LuaCallError('it is not a regular file');
    if (stats.size > bytesMax) throw new LuaCallError(`it has ${stats.size} bytes; ${bytesMax} are allowed`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
