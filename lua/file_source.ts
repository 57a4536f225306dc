// Where the bytes of a Lua file handle come from and go to: files, child processes, standard input.
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { getSystemErrorMap } from 'node:util';
import { openWithoutWaiting } from './open_file.ts';
import { type ProcessEnd, startShell } from './shell_process.ts';
import type { Task } from './task.ts';

/** Bytes, undefined at the end; a promise where they are not there yet. */
export type Bytes = Uint8Array | undefined | Promise<Uint8Array | undefined>;

/** How a file handle is closed: nothing, or how its process ended. */
export type CloseResult = ProcessEnd | undefined;

/** What a place in a file is counted from: the beginning, the place now, the end. */
export const whences = ['set', 'cur', 'end'] as const;
export type Whence = (typeof whences)[number];

/** What a Lua file handle stands on. */
export interface FileSource {
  read?(): Bytes;
  write?(bytes: Uint8Array): void | Promise<void>;
  /** Moves the place of the next read or write; returns it. */
  seek?(whence: Whence, offset: number): number;
  /** A promise only where there is something to wait for. */
  close(): CloseResult | Promise<CloseResult>;
  /** Ends what it stands on, because a chunk that waited for it was interrupted. */
  abandon?(): void;
}

/** An error as the system's calls report it: `code` is the name, `errno` the negative number. */
function systemError(name: 'EINVAL' | 'EPIPE'): Error {
  const errno = -constants.errno[name];
  const [, text = name] = getSystemErrorMap().get(errno) ?? [];
  return Object.assign(new Error(`${name}: ${text}`), { code: name, errno });
}

/** Bytes of the first read from a file; each read takes twice as many as the one before. */
const firstReadBytes = 64 * 1024;
const readBytesMax = 16 * 1024 * 1024;

/** A file of the file system. Throws what openSync() throws, or for a mode that does not exist. */
export function openFile(path: string, mode: string): FileSource {
  const plainMode = mode.replace('b', '');
  const fd = openWithoutWaiting(path, plainMode);
  // A pipe or a terminal has no places to go to.
  const hasPlaces = fstatSync(fd).isFile();
  let place = 0;
  let size = firstReadBytes;
  return {
    read: () => {
      const buffer = Buffer.allocUnsafe(size);
      const count = readSync(fd, buffer, 0, size, hasPlaces ? place : null);
      place += count;
      size = Math.min(size * 2, readBytesMax);
      return count === 0 ? undefined : buffer.subarray(0, count);
    },
    write: (bytes) => {
      const isAppending = plainMode.startsWith('a');
      writeSync(fd, bytes, 0, bytes.length, hasPlaces && !isAppending ? place : null);
      place = isAppending && hasPlaces ? fstatSync(fd).size : place + bytes.length;
    },
    ...(hasPlaces && {
      seek: (whence, offset) => {
        const starts = { set: 0, cur: place, end: fstatSync(fd).size };
        const target = starts[whence] + offset;
        if (target < 0 || !Number.isSafeInteger(target)) throw systemError('EINVAL');
        place = target;
        return place;
      },
    }),
    close: () => {
      closeSync(fd);
      return undefined;
    },
  };
}

/** A stream, read as it comes. */
export function readStream(stream: NodeJS.ReadableStream): () => Promise<Uint8Array | undefined> {
  const chunks = stream[Symbol.asyncIterator]();
  return async () => {
    const { done, value } = await chunks.next();
    return done ? undefined : Buffer.from(value);
  };
}

/** Waits while the reader is behind. A reader that went away shows in the write after the one that met it. */
function writeStream(stream: Writable, bytes: Uint8Array): void | Promise<void> {
  if (stream.destroyed) throw systemError('EPIPE');
  let hasRoom = false;
  // Not for 'drain': it never comes once the stream has ended.
  const written = new Promise<void>((resolve, reject) => {
    hasRoom = stream.write(bytes, (error) => (error ? reject(systemError('EPIPE')) : resolve()));
  });
  if (!hasRoom) return written;
  written.catch(() => {});
}

/** A command in the shell: its output is read (mode r), or its input written (mode w). */
export function openProcess(command: string, mode: 'r' | 'w', task: Task): FileSource {
  const { child, ended, kill } = startShell(command, task, mode === 'r' ? 'stdout' : 'stdin');
  const { stdin } = child;
  const stdout = mode === 'r' ? child.stdout : null;
  // A reader that went away shows in the status.
  stdin?.on('error', () => {});
  // Node throws away what nobody has begun to read when a command ends: who listens keeps it.
  stdout?.on('readable', () => {});
  return {
    ...(stdout !== null && { read: readStream(stdout) }),
    ...(stdin !== null && { write: (bytes: Uint8Array) => writeStream(stdin, bytes) }),
    close: () => {
      stdin?.end();
      stdout?.destroy();
      return ended;
    },
    abandon: kill,
  };
}
